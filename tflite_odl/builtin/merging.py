"""Ops that join several inputs, with broadcasting over axes of size one."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.masks import positive
from tflite_odl.builtin.space import cut, joined
from tflite_odl.builtin.sums import sum_to


class Linear(Lowering):
    """y = sum of factor_i x_i: Add, Subtract and Average, by the factors."""

    name = "linear"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        factors = site.node.attributes.get("factors", (1.0,) * len(inputs))
        if len(set(factors)) == 1:  # one product instead of one for each
            return Output(_times(functools.reduce(operator.add, inputs), factors[0]))
        return Output(functools.reduce(operator.add, map(_times, inputs, factors)))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        node = site.node
        shapes = node.attributes.get("inputs", (node.shape,) * len(node.inputs))
        factors = node.attributes.get("factors", (1.0,) * len(node.inputs))
        return Gradients(
            [
                _scaled(_to(gradient, shape), factor) if wanted else None
                for shape, factor, wanted in zip(shapes, factors, site.wanted)
            ]
        )


class Multiply(Lowering):
    """y = product of x_i; each one's gradient is dy times the product of the others."""

    name = "multiply"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        kept = {str(k): x for k, x in enumerate(inputs)}
        return Output(functools.reduce(operator.mul, inputs), Residual(rows=kept))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        inputs, dy = list(residual.rows.values()), gradient.dense()
        found = []
        for k, wanted in enumerate(site.wanted):
            others = inputs[:k] + inputs[k + 1 :]
            part = functools.reduce(operator.mul, others, dy) if wanted else None
            found.append(Gradient.of(sum_to(part, inputs[k].shape)) if wanted else None)
        return Gradients(found)


class Extremum(Lowering):
    """Maximum, or minimum by `sign` -1, of all inputs, taken from left to right as in
    Keras; where two are equal the gradient goes to the earlier one."""

    name = "extremum"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        largest = tf.maximum if site.node.attributes["sign"] > 0 else tf.minimum
        kept = {str(k): x for k, x in enumerate(inputs)}
        return Output(functools.reduce(largest, inputs), Residual(rows=kept))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        sign = site.node.attributes["sign"]
        largest = tf.maximum if sign > 0 else tf.minimum
        inputs, dy = list(residual.rows.values()), gradient.dense()
        best = inputs[:1]
        for x in inputs[1:-1]:
            best.append(largest(best[-1], x))
        found = []
        for x, before in zip(reversed(inputs[1:]), reversed(best)):
            part = dy * positive((x - before) * sign)
            found.append(Gradient.of(sum_to(part, x.shape)))
            dy = sum_to(dy - part, before.shape)
        return Gradients([Gradient.of(dy), *reversed(found)])


class Concatenate(Lowering):
    """The inputs joined along an axis; each one's gradient is its part of dy."""

    name = "concatenate"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        return Output(joined(inputs, site.node.attributes["axis"]))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        axis, dy = site.node.attributes["axis"], gradient.dense()
        found, begin = [], 0
        for size, wanted in zip(site.node.attributes["sizes"], site.wanted):
            part = Gradient.of(cut(dy, axis, begin, size)) if wanted else None
            found.append(part)
            begin += size
        return Gradients(found)


def _times(x: tf.Tensor, factor: float) -> tf.Tensor:
    return x if factor == 1.0 else x * factor


def _to(gradient: Gradient, shape: Sequence[int]) -> Gradient:
    """Returns the gradient of an input of this shape, without batch."""
    if tuple(shape) == gradient.shape[1:]:
        return gradient
    return Gradient.of(sum_to(gradient.dense(), (gradient.shape[0], *shape)))


def _scaled(gradient: Gradient, factor: float) -> Gradient:
    return Gradient(_times(gradient.value, factor), gradient.shape, gradient.scale)


FAMILIES = {
    "add": (Linear(),),
    "multiply": (Multiply(),),
    "extremum": (Extremum(),),
    "concatenate": (Concatenate(),),
}
