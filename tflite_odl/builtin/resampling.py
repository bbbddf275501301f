"""Images in another size, axis by axis: by whole factors, nearest neighbour and
bilinear, and any resizing that is linear.

RESIZE_NEAREST_NEIGHBOR and the gradients of both resizings would leave the partition or
do not exist; an axis is one concatenation of its phases instead, or one product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.space import cut, joined, parts, shifted, summed


class Nearest(Lowering):
    """Each pixel repeated; its gradient is the sum over its copies."""

    name = "repeat"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        return Output(_grown(site, inputs[0], lambda x, axis, f: [x] * f))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        def phases(copies: list[tf.Tensor], axis: int) -> tf.Tensor:
            return summed(copies)

        return Gradients([_shrunk(site, gradient.dense(), phases)])


class Bilinear(Lowering):
    """Half-pixel centres: phase k of factor f lies o = (k + 1/2) / f - 1/2 off its
    pixel and is (1 - |o|) times it plus |o| times the neighbour on that side, the edge
    being its own neighbour."""

    name = "phases"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        def phases(x: tf.Tensor, axis: int, factor: int) -> list[tf.Tensor]:
            offsets = _offsets(factor)
            near = {side: _neighbour(x, axis, side) for side in map(_side, offsets)}
            return [
                x * (1 - abs(o)) + near[_side(o)] * abs(o) if o else x for o in offsets
            ]

        return Output(_grown(site, inputs[0], phases))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        def phases(copies: list[tf.Tensor], axis: int) -> tf.Tensor:
            offsets = _offsets(len(copies))
            own = summed(p * (1 - abs(o)) if o else p for p, o in zip(copies, offsets))
            for side in (-1, 1):
                lent = [
                    p * abs(o)
                    for p, o in zip(copies, offsets)
                    if o and _side(o) == side
                ]
                own = own + _neighbour_back(summed(lent), axis, side) if lent else own
            return own

        return Gradients([_shrunk(site, gradient.dense(), phases)])


class Resize(Lowering):
    """y = rows x columns^T for each channel: `rows` [h, H] and `columns` [w, W] say how
    much of each pixel of [H, W] is in each of [h, w]; dx is by their transposes."""

    name = "products"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        a = site.node.attributes
        return Output(_resized(inputs[0], a["rows"], a["columns"]))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        a, dy = site.node.attributes, gradient.dense()
        return Gradients([Gradient.of(_resized(dy, a["rows"].T, a["columns"].T))])


def _resized(x: tf.Tensor, rows: np.ndarray, columns: np.ndarray) -> tf.Tensor:
    for matrix in (rows, columns):  # each turn puts the first of both axes behind
        b, h, w, c = x.shape
        x = tf.reshape(tf.transpose(x, [0, 2, 3, 1]), [b * w * c, h])
        x = x @ tf.constant(matrix.T, tf.float32)
        x = tf.transpose(tf.reshape(x, [b, w, c, len(matrix)]), [0, 1, 3, 2])
    return x


def _grown(site: Site, x: tf.Tensor, phases: Callable) -> tf.Tensor:
    """Returns x [B, H, W, C] with the phases of W, then of H, side by side."""
    sh, sw = site.node.attributes["size"]
    b, h, w, c = x.shape
    if sw > 1:
        x = tf.reshape(joined(phases(x, 2, sw), 3), [b, h, w * sw, c])
    if sh > 1:
        x = tf.reshape(joined(phases(x, 1, sh), 2), [b, h * sh, w * sw, c])
    return x


def _shrunk(site: Site, dy: tf.Tensor, phases: Callable) -> Gradient:
    """Returns the transpose of `_grown`."""
    sh, sw = site.node.attributes["size"]
    b, h, w, c = dy.shape
    if sh > 1:
        folded = tf.reshape(dy, [b, h // sh, sh * w, c])
        dy = phases(parts(folded, sh, 2), 1)
    if sw > 1:
        folded = tf.reshape(dy, [b, h // sh, w // sw, sw * c])
        dy = phases(parts(folded, sw, 3), 2)
    return Gradient.of(dy)


def _offsets(factor: int) -> list[float]:
    return [(k + 0.5) / factor - 0.5 for k in range(factor)]


def _side(offset: float) -> int:
    return 1 if offset > 0 else -1


def _neighbour(x: tf.Tensor, axis: int, side: int) -> tf.Tensor:
    """Returns each entry's neighbour along the axis, before (-1) or after it (1)."""
    size = x.shape[axis]
    if size == 1:
        return x
    if side < 0:
        return tf.concat([cut(x, axis, 0, 1), cut(x, axis, 0, size - 1)], axis)
    return tf.concat([cut(x, axis, 1, size - 1), cut(x, axis, size - 1, 1)], axis)


def _neighbour_back(dy: tf.Tensor, axis: int, side: int) -> tf.Tensor:
    """Returns the transpose of `_neighbour`: the edge takes its own share too."""
    size = dy.shape[axis]
    edge = 0 if side < 0 else size - 1
    lent = shifted(dy, axis, -side, size)
    return lent + shifted(cut(dy, axis, edge, 1), axis, -edge, size)


FAMILIES = {
    "upsample_nearest": (Nearest(),),
    "upsample_bilinear": (Bilinear(),),
    "resize": (Resize(),),
}
