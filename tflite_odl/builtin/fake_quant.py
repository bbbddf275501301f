"""Lowerings whose kernels and outputs are on the steps of their ranges.

TensorFlow's fake-quant ops round to the 256 steps of a range, and the converter makes
int8 ops of what stands between them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin import serving
from tflite_odl.builtin.conv2d.base import window_of
from tflite_odl.builtin.lowering import Lowering, Output, Site
from tflite_odl.builtin.sequences import on_sequences
from tflite_odl.quantizing import Range, highs

# Axes of a kernel that its scales run over, from the end. Depthwise kernels
# [h, w, C, M] are quantized as [h, w, C M]: in their own shape the converter would give
# all channels one scale. Of a dense layer it takes one scale alone.
SCALE_AXES = {
    "dense": (),
    "conv1d": (-1,),
    "conv2d": (-1,),
    "depthwise": (-2, -1),
    "depthwise1d": (-2, -1),
}
# What the int8 kernels of these ops put out, whatever they read.
FIXED: dict[str, Range] = {"sigmoid": (0.0, 255 / 256)}


class Quantized(Lowering):
    """Another lowering, its kernel and its output on the steps of their ranges.

    Args:
      inner: the lowering.
      known: range of the output, None if it has none.
      source: step of the input, where the kernel is to be int8.
    """

    def __init__(
        self, inner: Lowering, known: Range | None, source: float | None
    ) -> None:
        self.inner, self.name = inner, inner.name
        self.known, self.source = known, source

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        if self.source is not None:
            kernel, bias = site.weights["kernel"], site.weights.get("bias")
            kernel = quantized_kernel(site.node.op, kernel, bias, self.source)
            site = dataclasses.replace(site, weights={**site.weights, "kernel": kernel})
        if site.node.op == "silu" and self.known is not None:
            gate = within(tf.sigmoid(inputs[0]), FIXED["sigmoid"])
            return Output(within(inputs[0] * gate, self.known))
        return Output(within(self.inner.forward(site, inputs).value, self.known))


class ZerosAround(Lowering):
    """Another lowering of a window, its uncommon padding by PAD.

    Elsewhere zeros are joined on, which in int8 would be constants that hold the zero
    point, and so a range; PAD asks the tensor for it.
    """

    def __init__(self, inner: Lowering) -> None:
        self.inner, self.name = inner, inner.name

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        node, x = site.node, inputs[0]
        attributes = dict(node.attributes)
        if window_of(node).padded(x)[0] is not x:
            x = _padded(x, attributes["padding"])
            attributes |= {"padding": ((0, 0), (0, 0)), "size": tuple(x.shape[1:3])}
            site = dataclasses.replace(
                site, node=dataclasses.replace(node, attributes=attributes)
            )
        return self.inner.forward(site, [x, *inputs[1:]])


class ZeroPad(Lowering):
    """Zeros around an image by PAD, for the same reason."""

    name = "pad"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        return Output(_padded(inputs[0], site.node.attributes["padding"]))


def _padded(x: tf.Tensor, padding: Sequence[Sequence[int]]) -> tf.Tensor:
    inner = [(0, 0), *padding]
    return tf.pad(x, [*inner, *[(0, 0)] * (x.shape.rank - len(inner))])


# How nodes are run in a graph that is int8 as a whole, where `serving` has another way.
FAMILIES: dict[str, Lowering] = {
    "conv2d": ZerosAround(serving.FAMILIES["conv2d"]),
    "depthwise": ZerosAround(serving.FAMILIES["depthwise"]),
    "conv1d": on_sequences([ZerosAround(serving.FAMILIES["conv2d"])])[0],
    "depthwise1d": on_sequences([ZerosAround(serving.FAMILIES["depthwise"])])[0],
    "zero_pad": ZeroPad(),
    "zero_pad_1d": ZeroPad(),
}


def quantized_kernel(
    op: str, kernel: np.ndarray, bias: np.ndarray | None, source: float
) -> tf.Tensor:
    """Returns a kernel on 255 steps around 0: one scale per output channel, of a dense
    layer one for all.

    Args:
      op: of the node.
      kernel: float32.
      bias: [C] float32, or None.
      source: step of the input.
    """
    shape, high = kernel.shape, highs(kernel, bias, SCALE_AXES[op], source)
    if not SCALE_AXES[op]:
        most = float(high[0])
        quantize = tf.quantization.fake_quant_with_min_max_args
        return quantize(kernel, -most, most, 8, narrow_range=True)
    # The converter takes scales by channel on [h, w, C] and [h, w, C, D].
    flat = kernel.reshape(1, *shape) if kernel.ndim == 3 else kernel
    if len(SCALE_AXES[op]) == 2:
        flat = flat.reshape(*flat.shape[:2], -1)
    flat = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        flat, -high, high, 8, narrow_range=True
    )
    return tf.reshape(flat, shape)


def within(x: tf.Tensor, known: Range | None) -> tf.Tensor:
    """Returns x on the steps of its range; as it is, where it has none."""
    if known is None:
        return x
    return tf.quantization.fake_quant_with_min_max_args(x, *known, 8)
