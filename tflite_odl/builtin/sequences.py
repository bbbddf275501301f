"""1-D layers by the 2-D lowerings: a sequence is an image one pixel high."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)


class OnSequences(Lowering):
    """A 2-D lowering on [B, L, C] seen as [B, 1, L, C], a kernel [k, C, F] as
    [1, k, C, F]; the node's attributes are those of the image."""

    def __init__(self, inner: Lowering) -> None:
        self.inner, self.name, self.delegated = inner, inner.name, inner.delegated

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        return self.inner.supports(node, [(1, *shape) for shape in inputs])

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        output = self.inner.forward(_image_site(site), list(map(_image, inputs)))
        value = output.value
        flat = tf.reshape(value, [value.shape[0], *site.node.shape])
        return dataclasses.replace(output, value=flat)

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        if len(gradient.shape) == 3:
            b, length, c = gradient.shape
            gradient = Gradient(
                _image(gradient.value), (b, 1, length, c), gradient.scale
            )
        found = self.inner.backward(_image_site(site), residual, gradient)
        return Gradients(
            [g if g is None else _sequence(g) for g in found.inputs],
            {
                role: tf.reshape(value, site.weights[role].shape)
                for role, value in found.weights.items()
            },
        )


def on_sequences(lowerings: Sequence[Lowering]) -> tuple[Lowering, ...]:
    """Returns the 1-D kin of a family's lowerings."""
    return tuple(map(OnSequences, lowerings))


def _image_site(site: Site) -> Site:
    return dataclasses.replace(
        site,
        weights={
            role: _image(value, 0) if len(value.shape) == 3 else value
            for role, value in site.weights.items()
        },
    )


def _image(x: tf.Tensor, axis: int = 1) -> tf.Tensor:
    """Returns the sequences (or a kernel, with axis 0) as images one pixel high."""
    return tf.reshape(x, [*x.shape[:axis], 1, *x.shape[axis:]])


def _sequence(gradient: Gradient) -> Gradient:
    b, _, length, c = gradient.shape
    value = tf.reshape(
        gradient.value, [gradient.value.shape[0], *gradient.value.shape[2:]]
    )
    return Gradient(value, (b, length, c), gradient.scale)
