"""LSTM: Hochreiter and Schmidhuber (1997), doi 10.1162/neco.1997.9.8.1735."""

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
from tflite_odl.builtin.space import parts, side_by_side


class Lstm(Unrolled):
    """i, f, o = s(z_i), s(z_f), s(z_o) and g = a(z_g) of z = x W + h U + b;
    c' = f c + i g and h' = o a(c').

    With dc = dc' + dh' o a'(c'): dz = [dc g s', dc c s', dc i a', dh' a(c') s'], and
    dh = dz U^T, dc = dc f. All but dc, dh' and dh is known before the way back.
    """

    states = ("h", "c")

    def project(self, site: Site, x: tf.Tensor) -> State:
        return (_biased(site, product(x, site.weights["kernel"])),)

    def step(self, site: Site, given: State, state: State) -> State:
        (xz,), (h, c) = given, state
        i, f, g, o = _gates(site, xz + product(h, site.weights["recurrent"]))
        new = f * c + i * g
        return o * _outer(site).value(new), new

    def slopes(self, site: Site, given: State, before: State) -> State:
        (xz,), (h, c) = given, before
        i, f, g, o = _gates(site, xz + product(h, site.weights["recurrent"]))
        inner, outer = _inner(site).slope, _outer(site)
        y = outer.value(f * c + i * g)
        by_gate = [g * inner(i), c * inner(f), i * outer.slope(g), y * inner(o)]
        return side_by_side(by_gate), o * outer.slope(y), f

    def step_back(
        self, site: Site, slopes: State, gradient: State
    ) -> tuple[State, State]:
        (by_gate, to_c, f), (dh, dc) = slopes, gradient
        dc = dc + dh * to_c
        dz = side_by_side([dc, dc, dc, dh]) * by_gate
        return (dz,), (product(dz, site.weights["recurrent"], True), dc * f)

    def finish(self, site, x, before, slopes, kept):
        (dz,), h = kept, before[0]
        found = {"kernel": weight_product(x, dz), "recurrent": weight_product(h, dz)}
        if "bias" in site.weights:
            found["bias"] = tf.reduce_sum(dz, [0, 1])
        return found, dz


def _biased(site: Site, z: tf.Tensor) -> tf.Tensor:
    return z + site.weights["bias"] if "bias" in site.weights else z


def _inner(site: Site):
    return CURVES[site.node.attributes["recurrent_activation"]]


def _outer(site: Site):
    return CURVES[site.node.attributes["activation"]]


def _gates(site: Site, z: tf.Tensor) -> list[tf.Tensor]:
    """Returns i, f, g, o of z, which has them in Keras' order."""
    i, f, _, o = tf.split(_inner(site).value(z), 4, -1)
    return [i, f, _outer(site).value(parts(z, 4)[2]), o]


FAMILIES = {"lstm": (Lstm(),)}
