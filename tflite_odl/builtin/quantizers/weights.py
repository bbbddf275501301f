"""A layer's kernel on its way into a lowering, and its gradient on the way out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.quantizers import CLIPPINGS, clipping, levels
from tflite_odl.builtin.sums import axis_sums
from tflite_odl.errors import ModelError

# Role of the trained bound among a node's weights, and the attribute of the quantizer.
CLIP, QUANTIZER = "kernel_clip", "quantizer"
# Where the output channels of a kernel are, counted from the last axis.
_CHANNELS = {
    "dense": (-1,),
    "conv2d": (-1,),
    "conv1d": (-1,),
    "conv2d_transpose": (-2,),
    "conv1d_transpose": (-2,),
    "depthwise": (-2, -1),
    "depthwise1d": (-2, -1),
}
OPS = tuple(_CHANNELS)


@dataclasses.dataclass(frozen=True)
class WeightQuantizer:
    """Clips a kernel, then puts its values on a few levels.

    Attributes:
      kind: "binary", "ternary" or "rounded".
      bits: of rounded weights, 2 or more.
      clipping: one of `quantizers.CLIPPINGS`.
    """

    kind: str
    bits: int = 1
    clipping: str = "trained"

    def __post_init__(self) -> None:
        if self.clipping not in CLIPPINGS:
            raise ModelError(f"clipping {self.clipping!r} is not one of {CLIPPINGS}")
        if self.kind == "rounded" and self.clipping == "none":
            raise ModelError("rounded weights need a bound: clipping is not 'none'")

    def forward(
        self, w: tf.Tensor, axes: tuple[int, ...], clip: tf.Tensor | None
    ) -> tf.Tensor:
        """Returns the quantized kernel.

        Args:
          w: kernel.
          axes: all but its output channels.
          clip: trained bounds, in the kernel's rank; None if none are.
        """
        return self._levels(self._clipped(w, axes, clip), w, axes, clip)[0]

    def backward(
        self,
        g: tf.Tensor,
        w: tf.Tensor,
        axes: tuple[int, ...],
        clip: tf.Tensor | None,
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Returns (dW, d clip) of the gradient g of the quantized kernel."""
        scale = self._levels(self._clipped(w, axes, clip), w, axes, clip)[1]
        g = g if scale is None else g * scale
        bound = self._bound(w, axes, clip)
        if bound is None or self.clipping == "largest":
            return g, None
        dw, dc = clipping.backward(g, w, bound)
        return dw, None if clip is None else dc

    def _bound(self, w, axes, clip) -> tf.Tensor | None:
        """Returns c in the kernel's rank; but for the trained one a constant."""
        if self.clipping == "trained":
            return tf.maximum(clip, clipping.LEAST)
        if self.clipping == "one":
            return tf.ones([1] * w.shape.rank)
        size = tf.abs(w)
        if self.clipping == "largest":
            largest = tf.reduce_max(size, axes, keepdims=True)
            return tf.maximum(largest, clipping.LEAST)
        if self.clipping == "deviations":
            count = float(np.prod([w.shape[axis] for axis in axes]))
            centred = w - axis_sums(w, axes) * (1.0 / count)
            variance = axis_sums(centred * centred, axes) * (1.0 / count)
            spread = clipping.DEVIATIONS * tf.sqrt(variance)
            return tf.maximum(spread, clipping.LEAST)
        return None

    def _clipped(self, w, axes, clip) -> tf.Tensor:
        bound = self._bound(w, axes, clip)
        return w if bound is None else clipping.forward(w, bound)

    def _levels(self, clipped, w, axes, clip):
        """Returns (quantized kernel, scale of its gradient or None)."""
        if self.kind == "binary":
            return levels.binary(clipped, axes)
        if self.kind == "ternary":
            return levels.ternary(clipped, axes)
        return levels.rounded(clipped, self._bound(w, axes, clip), self.bits), None


def summed_axes(node: Node, rank: int) -> tuple[int, ...]:
    """Returns the axes of a node's kernel that are not its output channels."""
    channels = {axis % rank for axis in _CHANNELS[node.op]}
    return tuple(axis for axis in range(rank) if axis not in channels)


def clip_shape(node: Node, kernel: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of a node's trained bounds: one for each output channel."""
    rank = len(kernel)
    return tuple(kernel[axis % rank] for axis in _CHANNELS[node.op])


def unquantized(node: Node) -> Node:
    """Returns the node as its lowering sees it: with a plain kernel."""
    if QUANTIZER not in node.attributes:
        return node
    attributes = {k: v for k, v in node.attributes.items() if k != QUANTIZER}
    weights = {role: name for role, name in node.weights.items() if role != CLIP}
    return dataclasses.replace(node, attributes=attributes, weights=weights)


def forward(node: Node, weights: Mapping) -> Mapping:
    """Returns a node's weights as its lowering takes them, by role."""
    if QUANTIZER not in node.attributes:
        return weights
    kernel, axes, clip = _parts(node, weights)
    quantized = node.attributes[QUANTIZER].forward(kernel, axes, clip)
    rest = {role: w for role, w in weights.items() if role != CLIP}
    return {**rest, "kernel": quantized}


def backward(node: Node, weights: Mapping, gradients: Mapping) -> dict:
    """Returns {role: gradient} of a node's weights.

    Args:
      node: of the graph.
      weights: by role, before `forward`.
      gradients: by role, as the node's lowering gives them.
    """
    found = dict(gradients)
    if QUANTIZER not in node.attributes or "kernel" not in gradients:
        return found
    kernel, axes, clip = _parts(node, weights)
    quantizer = node.attributes[QUANTIZER]
    found["kernel"], dc = quantizer.backward(gradients["kernel"], kernel, axes, clip)
    if dc is not None:
        found[CLIP] = tf.reshape(dc, weights[CLIP].shape)
    return found


def _parts(node: Node, weights: Mapping):
    """Returns (kernel, axes summed over, bounds in the kernel's rank or None)."""
    kernel = tf.convert_to_tensor(weights["kernel"])
    axes = summed_axes(node, kernel.shape.rank)
    if CLIP not in weights:
        return kernel, axes, None
    shape = [1 if axis in axes else n for axis, n in enumerate(kernel.shape)]
    return kernel, axes, tf.reshape(weights[CLIP], shape)
