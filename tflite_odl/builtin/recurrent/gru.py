"""GRU: Cho et al. (2014), arXiv 1406.1078; with `reset_after`, as cuDNN has it."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import Site
from tflite_odl.builtin.recurrent.curves import CURVES
from tflite_odl.builtin.recurrent.loop import (
    State,
    Unrolled,
    product,
    weight_product,
)
from tflite_odl.builtin.space import cut, side_by_side


class ResetAfter(Unrolled):
    """z, r = s(x_zr + u_zr) and n = a(x_n + r u_n) of x W + b and u = h U + b';
    h' = z h + (1 - z) n.

    All gradients of a step are dh' times what is known before the way back:
    dz = dh' (h - n) s', dn = dh' (1 - z) a', dr = dn u_n s'; du = [dz, dr, dn r],
    and dh = dh' z + du U^T.
    """

    name = "reset_after"

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        return node.attributes["reset_after"]

    def project(self, site: Site, x: tf.Tensor) -> State:
        xz = product(x, site.weights["kernel"])
        if "bias" in site.weights:
            xz = xz + tf.reshape(_bias(site, 0), [xz.shape[-1]])
        return apart(xz)

    def step(self, site: Site, given: State, state: State) -> State:
        z, _, n, _ = self._gates(site, given, state[0])
        return (n + z * (state[0] - n),)

    def _gates(self, site: Site, given: State, h: tf.Tensor) -> tuple[tf.Tensor, ...]:
        x_zr, x_n, u_zr, u_n = self.sides(site, given, h)
        z, r = tf.split(_inner(site).value(x_zr + u_zr), 2, -1)
        return z, r, _outer(site).value(x_n + r * u_n), u_n

    def sides(self, site: Site, given: State, h: tf.Tensor) -> State:
        """Returns x_zr, x_n, u_zr, u_n of a step."""
        u = product(h, site.weights["recurrent"])
        if "bias" in site.weights:
            u = u + tf.reshape(_bias(site, 1), [u.shape[-1]])
        return (*given, *apart(u))

    def slopes(self, site: Site, given: State, before: State) -> State:
        z, r, n, u_n = self._gates(site, given, before[0])
        inner, outer = _inner(site).slope, _outer(site).slope
        to_z = (before[0] - n) * inner(z)
        to_n = (1.0 - z) * outer(n)
        to_r = to_n * u_n * inner(r)
        return side_by_side([to_z, to_r, to_n * r]), z, side_by_side([to_z, to_r, to_n])

    def step_back(
        self, site: Site, slopes: State, gradient: State
    ) -> tuple[State, State]:
        (to_u, z, _), (dh,) = slopes, gradient
        du = side_by_side([dh, dh, dh]) * to_u
        return (dh,), (dh * z + product(du, site.weights["recurrent"], True),)

    def finish(self, site, x, before, slopes, kept):
        (to_u, _, to_x), (dh,), (h,) = slopes, kept, before
        three = side_by_side([dh, dh, dh])
        du, dx = three * to_u, three * to_x
        found = {"kernel": weight_product(x, dx), "recurrent": weight_product(h, du)}
        if "bias" in site.weights:
            sums = [tf.reduce_sum(part, 1) for part in (dx, du)]
            found["bias"] = tf.concat(sums, 0)
        return found, dx


class ResetBefore(Unrolled):
    """z, r = s(x_zr + h U_zr) and n = a(x_n + (r h) U_n); h' = z h + (1 - z) n.

    dn = dh' (1 - z) a', drh = dn U_n^T, dr = drh h s', dz = dh' (h - n) s', and
    dh = dh' z + drh r + [dz, dr] U_zr^T.
    """

    name = "reset_before"

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        return not node.attributes["reset_after"]

    def project(self, site: Site, x: tf.Tensor) -> State:
        xz = product(x, site.weights["kernel"])
        return apart(xz + site.weights["bias"] if "bias" in site.weights else xz)

    def step(self, site: Site, given: State, state: State) -> State:
        z, _, n = self._gates(site, given, state[0])
        return (n + z * (state[0] - n),)

    def _gates(self, site: Site, given: State, h: tf.Tensor) -> tuple[tf.Tensor, ...]:
        (x_zr, x_n), (u_zr, u_n) = given, _weights(site)
        z, r = tf.split(_inner(site).value(x_zr + product(h, u_zr)), 2, -1)
        return z, r, _outer(site).value(x_n + product(r * h, u_n))

    def slopes(self, site: Site, given: State, before: State) -> State:
        z, r, n = self._gates(site, given, before[0])
        inner, outer = _inner(site).slope, _outer(site).slope
        to_z = (before[0] - n) * inner(z)
        return to_z, before[0] * inner(r), (1.0 - z) * outer(n), z, r

    def step_back(
        self, site: Site, slopes: State, gradient: State
    ) -> tuple[State, State]:
        (to_z, to_r, to_n, z, r), (dh,), (u_zr, u_n) = slopes, gradient, _weights(site)
        dn = dh * to_n
        drh = product(dn, u_n, True)
        dzr = side_by_side([dh * to_z, drh * to_r])
        return (dzr, dn), (dh * z + drh * r + product(dzr, u_zr, True),)

    def finish(self, site, x, before, slopes, kept):
        (dzr, dn), (h,), r = kept, before, slopes[-1]
        dx = side_by_side([dzr, dn])
        recurrent = [weight_product(h, dzr), weight_product(r * h, dn)]
        found = {"kernel": weight_product(x, dx), "recurrent": side_by_side(recurrent)}
        if "bias" in site.weights:
            found["bias"] = tf.reduce_sum(dx, [0, 1])
        return found, dx


def apart(x: tf.Tensor) -> State:
    """Returns the parts of z and r, and that of n, along the last axis."""
    units = x.shape[-1] // 3
    return cut(x, -1, 0, 2 * units), cut(x, -1, 2 * units, units)


def _bias(site: Site, row: int) -> tf.Tensor:
    """Returns the bias of the inputs, or that of the state, [1, 3 units]."""
    return cut(tf.convert_to_tensor(site.weights["bias"]), 0, row, 1)


def _weights(site: Site) -> State:
    return apart(tf.convert_to_tensor(site.weights["recurrent"]))


def _inner(site: Site):
    return CURVES[site.node.attributes["recurrent_activation"]]


def _outer(site: Site):
    return CURVES[site.node.attributes["activation"]]


FAMILIES = {"gru": (ResetAfter(), ResetBefore())}
