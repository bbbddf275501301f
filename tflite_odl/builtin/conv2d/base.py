"""What every trainable Conv2D lowering shares: the bias and the folded scale."""

from __future__ import annotations

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
from tflite_odl.builtin.sums import channel_sums, vector
from tflite_odl.builtin.window import Window
from tflite_odl.builtin.zeros import zero_of


class Conv2D(Lowering):
    """y = x * kernel + bias.

    Subclasses give the product as `columns` (what the kernel matrix is multiplied
    with), `apply`, `filter` and `back`. The per-channel scale of an incoming gradient
    is folded into the kernel and its gradient, which are small. The columns are made
    again for the filter gradient: they are several times x, which as a rule is in
    memory anyway, for the mask of the activation it came from.
    """

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        return node.attributes["groups"] == 1

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        window = window_of(site.node)
        columns = self.columns(window, inputs[0])
        y = self.apply(window, columns, site.weights["kernel"])
        if "bias" in site.weights:
            y = y + site.weights["bias"]
        pointwise = window.kernel == (1, 1)
        rows = {"columns": columns} if pointwise else {"x": inputs[0]}
        return Output(y, Residual(rows=rows))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        window, gradient = window_of(site.node), gradient.full()
        dy, scale = gradient.value, gradient.scale
        kernel = site.weights["kernel"]
        columns = self._kept_columns(window, residual, dy)
        found, spread = self.filter(window, columns, dy, kernel.shape)
        found = {"kernel": found}
        if "bias" in site.weights:
            found["bias"] = vector(channel_sums(dy))
        if scale is not None:
            found = {role: value * scale for role, value in found.items()}
            kernel = kernel * scale
        if not site.wanted[0]:
            return Gradients([None], found)
        return Gradients([Gradient.of(self.back(window, spread, kernel))], found)

    def _kept_columns(self, window: Window, residual: Residual, dy: tf.Tensor):
        if "columns" in residual.rows:
            return residual.rows["columns"]
        return self.columns(window, residual.rows["x"] + zero_of(dy))

    def columns(self, window: Window, x: tf.Tensor) -> tf.Tensor:
        """Returns the left operand of the product, also of the filter gradient's, or
        several where a lowering takes several products."""
        raise NotImplementedError(type(self).__name__)

    def apply(self, window: Window, columns: tf.Tensor, kernel: tf.Tensor):
        """Returns y [B, H', W', F] from the columns and the kernel."""
        raise NotImplementedError(type(self).__name__)

    def filter(self, window: Window, columns: tf.Tensor, dy: tf.Tensor, shape):
        """Returns (kernel gradient in the kernel's shape, dy as `back` wants it)."""
        raise NotImplementedError(type(self).__name__)

    def back(self, window: Window, spread: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the input's gradient [B, H, W, C]."""
        raise NotImplementedError(type(self).__name__)


def window_of(node: Node) -> Window:
    """Returns the sliding window of a convolution, depthwise or pooling node."""
    a = node.attributes
    return Window(a["size"], a["kernel"], a["strides"], a["padding"], a["dilation"])
