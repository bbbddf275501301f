"""Dropout and Gaussian noise, drawn by the graph's own counter-based generator.

What is drawn depends on the random state, on the node's salt and on the row's place in
the batch, never on the data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin import random
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.masks import positive
from tflite_odl.errors import ModelError


class Factor(Lowering):
    """y = x f in training, f drawn: dropout of entries, of channels or of rows, and
    Gaussian dropout. dx = dy f."""

    name = "factor"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        x = inputs[0]
        if not site.run.training:
            return Output(x)
        factor = self.factor(site, x.shape[0])
        kept, by_row = {"factor": factor}, site.node.attributes["rows"]
        residual = Residual(kept) if by_row else Residual(shared=kept)
        return Output(self.apply(site.node, x, factor), residual)

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        if not site.run.training:
            return Gradients([gradient])
        factor = {**residual.rows, **residual.shared}["factor"]
        return Gradients([gradient.times(factor)])

    def factor(self, site: Site, batch: int) -> tf.Tensor:
        return _drawn(site, batch)

    def apply(self, node: Node, x: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
        return x * factor


class Alpha(Factor):
    """y = (x - low) f + c in training: alpha dropout. Dropped entries become `low`; all
    are then scaled by a and shifted, so that mean and variance stay."""

    name = "alpha"

    def factor(self, site: Site, batch: int) -> tf.Tensor:
        return _drawn(site, batch) * _kept(site.node)

    def apply(self, node: Node, x: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
        low = node.attributes["low"]
        return (x - low) * factor + low * _kept(node)


def _kept(node: Node) -> float:
    """Returns a (1 - rate), the factor of an entry that is not dropped times 1 - rate.

    a = ((1 - rate) (1 + rate low^2))^-1/2: Klambauer et al. (2017), arXiv 1706.02515.
    """
    rate, low = node.attributes["rate"], node.attributes["low"]
    return (1.0 - rate) * ((1.0 - rate) * (1.0 + rate * low * low)) ** -0.5


class Term(Lowering):
    """y = x + n in training, n drawn: Gaussian noise."""

    name = "term"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        x = inputs[0]
        if not site.run.training:
            return Output(x)
        return Output(x + _drawn(site, x.shape[0]))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        return Gradients([gradient])


def _drawn(site: Site, batch: int) -> tf.Tensor:
    run, layer = site.run, site.node.layer
    if run.random is None:
        raise ModelError(f"layer {layer!r} draws noise, the method has no seed for it")
    return drawn(site.node, run.random, batch, run.places)


def drawn(
    node: Node, state: tf.Tensor, batch: int, places: tf.Tensor | None = None
) -> tf.Tensor:
    """Returns a step's factor or term for a node, [batch, ...], broadcasting to x."""
    a = node.attributes
    uniform, *more = uniforms(node, state, batch, places)
    if "rate" in a:
        # 1 where uniform >= rate; uniforms are multiples of 2^-24.
        return positive(uniform - (a["rate"] - 2.0**-25)) * (1.0 / (1.0 - a["rate"]))
    # Box and Muller (1958), doi 10.1214/aoms/1177706645; 1 - uniform is never zero.
    radius = tf.sqrt(tf.math.log(1.0 - uniform) * -2.0)
    return radius * tf.cos(more[0] * (2.0 * math.pi)) * a["stddev"] + a["mean"]


def uniforms(
    node: Node, state: tf.Tensor, batch: int, places: tf.Tensor | None = None
) -> list[tf.Tensor]:
    """Returns what a node draws in a step: a uniform tensor in [0, 1) for dropout, two
    for Gaussian noise, [batch, ...] or [1, ...].

    Args:
      node: `rate` of a dropout, or `stddev` about `mean`; `shape` without batch; `rows`
        false where all rows share the draw; `salts`, one for each tensor.
      state: [2] int32, see `builtin.random`.
      batch: number of rows.
      places: [batch] int32, which rows of a larger batch these are; else the first.
    """
    a = node.attributes
    shape = [batch if a["rows"] else 1, *a["shape"]]
    places = places if a["rows"] else None
    return [random.uniform(state, shape, salt, places) for salt in a["salts"]]


FAMILIES = {
    "dropout": (Factor(),),
    "alpha_dropout": (Alpha(),),
    "noise": (Term(),),
}
