"""Any op at every step of a sequence: time folded into the batch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Pass,
    Residual,
    Rows,
    Site,
)

# Behind the name of an op whose node works at every step.
SUFFIX = "@time"


def inner(node: Node) -> Node:
    """Returns the node of one step."""
    op = node.op.removesuffix(SUFFIX)
    return dataclasses.replace(node, op=op, shape=node.shape[1:])


class OverTime(Lowering):
    """A lowering of [B, ...] on [B, T, ...], seen as [B T, ...]; rows are independent
    of each other in it."""

    def __init__(self, inner: Lowering) -> None:
        self.inner, self.name, self.delegated = inner, inner.name, inner.delegated

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        return self.inner.supports(inner(node), [shape[1:] for shape in inputs])

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        steps = site.node.shape[0]
        output = self.inner.forward(_step_site(site), list(map(_folded, inputs)))
        rows = output.residual.rows.items()
        kept = {name: _unfolded(value, steps) for name, value in rows}
        return dataclasses.replace(
            output,
            value=_unfolded(output.value, steps),
            residual=Residual(kept, output.residual.shared),
        )

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        steps = site.node.shape[0]
        kept = {name: _folded(value) for name, value in residual.rows.items()}
        found = self.inner.backward(
            _step_site(site),
            Residual(kept, residual.shared),
            Gradient.of(_folded(gradient.dense())),
        )
        inputs = [
            g if g is None else Gradient.of(_unfolded(g.dense(), steps))
            for g in found.inputs
        ]
        return Gradients(inputs, found.weights)


def over_time(
    families: dict[str, tuple[Lowering, ...]],
) -> dict[str, tuple[Lowering, ...]]:
    """Returns the kin of some op families that work at every step."""
    return {
        f"{op}{SUFFIX}": tuple(map(OverTime, lowerings))
        for op, lowerings in families.items()
    }


def _step_site(site: Site) -> Site:
    run, steps = site.run, site.node.shape[0]
    mask = tf.reshape(
        tf.reshape(run.rows.mask, [-1, 1]) * tf.ones([1, steps]),
        [run.rows.mask.shape[0] * steps],
    )
    rows = Rows(mask, run.rows.count * float(steps))
    run = Pass(run.training, rows, run.wants)
    return dataclasses.replace(site, node=inner(site.node), run=run)


def _folded(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, [math.prod(x.shape[:2]), *x.shape[2:]])


def _unfolded(x: tf.Tensor, steps: int) -> tf.Tensor:
    return tf.reshape(x, [x.shape[0] // steps, steps, *x.shape[1:]])
