"""Conv2D in groups: each filter sees the channels of its own group only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.conv2d.base import Conv2D
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.space import parts, side_by_side
from tflite_odl.builtin.window import Window

# Channels of a block, and blocks of a layer at most: narrower products and many small
# ops cost more than the zeros multiplied.
BLOCK_CHANNELS = 64
MOST_BLOCKS = 8


class Grouped(Lowering):
    """The layer in blocks of several groups, each a convolution by another lowering.

    A block's kernel [kh, kw, m C / G, m F / G] has the kernels of its m groups on the
    diagonal and zeros elsewhere; only the diagonal of its gradient counts.
    """

    def __init__(self, inner: Conv2D) -> None:
        self.inner, self.name = inner, inner.name

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        grouped = node.attributes["groups"] > 1
        return grouped and self.inner.supports(_block_node(node), inputs)

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        sites = _block_sites(site)
        outputs = [
            self.inner.forward(block, [x])
            for block, x in zip(sites, parts(inputs[0], len(sites)), strict=True)
        ]
        rows = {
            f"{k}/{name}": value
            for k, output in enumerate(outputs)
            for name, value in output.residual.rows.items()
        }
        return Output(side_by_side([o.value for o in outputs]), Residual(rows=rows))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        sites = _block_sites(site)
        found = []
        for k, part in enumerate(_split(gradient.full(), len(sites))):
            prefix = f"{k}/"
            kept = {
                name.removeprefix(prefix): value
                for name, value in residual.rows.items()
                if name.startswith(prefix)
            }
            found.append(self.inner.backward(sites[k], Residual(rows=kept), part))
        weights = {
            role: side_by_side([block.weights[role] for block in found])
            for role in site.weights
            if role != "kernel"
        }
        merged = site.node.attributes["groups"] // len(sites)
        kernels = [diagonal(block.weights["kernel"], merged) for block in found]
        weights["kernel"] = side_by_side(kernels)
        if not site.wanted[0]:
            return Gradients([None], weights)
        dx = side_by_side([block.inputs[0].dense() for block in found])
        return Gradients([Gradient.of(dx)], weights)


def input_gradient(
    lowering: Conv2D, window: Window, dy: tf.Tensor, kernel: tf.Tensor, groups: int
) -> tf.Tensor:
    """Returns dx [B, H, W, C] of a convolution in any number of groups."""
    kernels = block_kernels(kernel, groups)
    pairs = zip(parts(dy, len(kernels)), kernels, strict=True)
    return side_by_side([lowering.back(window, part, k) for part, k in pairs])


def block_kernels(kernel: tf.Tensor, groups: int) -> list[tf.Tensor]:
    """Returns the kernels of all blocks, from [kh, kw, C / G, F]."""
    merged = _merged(groups, kernel.shape[2])
    blocks = parts(tf.convert_to_tensor(kernel), groups // merged)
    return [_spread(block, merged) for block in blocks]


def diagonal(kernel: tf.Tensor, merged: int) -> tf.Tensor:
    """Returns the diagonal [kh, kw, C, m F] of a block's kernel [kh, kw, m C, m F]."""
    kh, kw, channels, f = kernel.shape
    c = channels // merged
    rows = tf.reshape(kernel, [kh * kw, merged, c, f]) * _mask(merged, f)
    return tf.reshape(tf.reduce_sum(rows, 1), [kh, kw, c, f])


def _spread(kernel: tf.Tensor, merged: int) -> tf.Tensor:
    """Returns the transpose of `diagonal`."""
    kh, kw, c, f = kernel.shape
    rows = tf.reshape(kernel, [kh * kw, 1, c, f]) * _mask(merged, f)
    return tf.reshape(rows, [kh, kw, merged * c, f])


def _mask(merged: int, filters: int) -> np.ndarray:
    """Returns 1 where a group's channels meet its own filters: [1, m, 1, F]."""
    own = np.repeat(np.eye(merged, dtype=np.float32), filters // merged, axis=1)
    return own[None, :, None, :]


def _merged(groups: int, channels: int) -> int:
    """Returns how many groups of so many channels make a block."""
    widest = max(BLOCK_CHANNELS, groups * channels // MOST_BLOCKS)
    fitting = [m for m in range(1, groups + 1) if groups % m == 0]
    return max([m for m in fitting if m * channels <= widest], default=1)


def _block_node(node: Node) -> Node:
    return dataclasses.replace(node, attributes={**node.attributes, "groups": 1})


def _block_sites(site: Site) -> list[Site]:
    """Returns the site of each block, with its own weights."""
    kernels = block_kernels(site.weights["kernel"], site.node.attributes["groups"])
    weights = [{"kernel": kernel} for kernel in kernels]
    if "bias" in site.weights:
        biases = parts(tf.convert_to_tensor(site.weights["bias"]), len(kernels))
        weights = [{**w, "bias": b} for w, b in zip(weights, biases, strict=True)]
    return [Site(_block_node(site.node), w, site.run) for w in weights]


def _split(gradient: Gradient, count: int) -> list[Gradient]:
    values = parts(gradient.value, count)
    scales = [None] * count
    if gradient.scale is not None:
        scales = parts(gradient.scale, count)
    return [Gradient(v, tuple(v.shape), s) for v, s in zip(values, scales, strict=True)]
