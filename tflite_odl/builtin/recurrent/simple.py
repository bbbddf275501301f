"""The plain recurrent layer."""

from __future__ import annotations

import tensorflow as tf

from tflite_odl.builtin.lowering import Site
from tflite_odl.builtin.recurrent.curves import CURVES
from tflite_odl.builtin.recurrent.loop import (
    State,
    Unrolled,
    product,
    weight_product,
)


class Simple(Unrolled):
    """h' = a(x W + h U + b); dz = dh' a' and dh = dz U^T."""

    def project(self, site: Site, x: tf.Tensor) -> State:
        z = product(x, site.weights["kernel"])
        return (z + site.weights["bias"] if "bias" in site.weights else z,)

    def step(self, site: Site, given: State, state: State) -> State:
        z = given[0] + product(state[0], site.weights["recurrent"])
        return (CURVES[site.node.attributes["activation"]].value(z),)

    def slopes(self, site: Site, given: State, before: State) -> State:
        (y,) = self.step(site, given, before)
        return (CURVES[site.node.attributes["activation"]].slope(y),)

    def step_back(
        self, site: Site, slopes: State, gradient: State
    ) -> tuple[State, State]:
        dz = gradient[0] * slopes[0]
        return (dz,), (product(dz, site.weights["recurrent"], True),)

    def finish(self, site, x, before, slopes, kept):
        (dz,), (h,) = kept, before
        found = {"kernel": weight_product(x, dz), "recurrent": weight_product(h, dz)}
        if "bias" in site.weights:
            found["bias"] = tf.reduce_sum(dz, [0, 1])
        return found, dz


FAMILIES = {"simple_rnn": (Simple(),)}
