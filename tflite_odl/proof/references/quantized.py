"""A quantized student in Keras: its own layers, their kernels and inputs quantized.

Nothing is shared with the layer graph or the lowerings: relus mark what they were made
from, quantized layers find it there, and gradients are custom ones of TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.builtin.quantizers.rewrite import Scheme
from tflite_odl.reading import rebuild
from tflite_odl.reading.graph import variables

LEAST = 1e-3
# There are many more activations than choices of a method, and their roundings are
# smaller: what is clear for these is clear for those at a tenth.
CLOSE = 0.1
MANY = 20_000
DEVIATIONS, THRESHOLD = 2.5, 0.7
# Layers that hand values on, and so what their relu was made from.
PASSIVE = ("AveragePooling", "MaxPooling", "Global", "Flatten", "Reshape")
PASSIVE += ("Permute", "UpSampling", "Cropping", "RepeatVector")
_RELU = (tf_keras.activations.relu, tf.nn.relu, tf.nn.relu6)


class QuantizedModel:
    """A copy of a Keras model that computes as the quantized student does, eagerly.

    Args:
      model: a copy in the wanted dtype, which is changed.
      graph: of the student; it gives names and shapes, and which activations have a
        sign.
      schemes: by node name.

    Attributes:
      model: the copy.
      named: {weight name: variable} of all weights, bounds and ranges included.
      margins: how far each choice was from going the other way, of the calls so far.
    """

    def __init__(
        self, model: tf_keras.Model, graph: Graph, schemes: Mapping[str, Scheme]
    ) -> None:
        self.model, self.dtype = model, model.outputs[0].dtype.name
        self.named = dict(variables(model))
        self.variables: dict[tuple[str, str], tf.Variable] = {}
        self.signed: dict[str, bool] = {}
        for node in graph.nodes:
            self._take(node, graph)
        self.margins: list[np.ndarray] = []
        of_layers = {graph.node(name).layer: schemes[name] for name in schemes}
        for path, layer in rebuild.all_layers(model):
            self._mark(layer)
            if path in of_layers:
                self._quantize(path, layer, of_layers[path])

    def _take(self, node: Node, graph: Graph) -> None:
        """Makes the variables of a node's bounds or range."""
        if node.op == "rounded":
            self.signed[node.layer] = node.attributes["signed"]
        for role in set(node.weights) & {"kernel_clip", "range"}:
            name = node.weights[role]
            variable = tf.Variable(graph.weights[name].astype(self.dtype))
            self.variables[role, node.layer] = self.named[name] = variable

    def choices(self) -> np.ndarray:
        """Returns the margins since the last call of this, in units of `CLOSE`.

        What is exactly 0 in every precision, as padding is, makes no choice. Of very
        many choices some always are unclear: then none is returned, and an activation
        that falls the other way is borne as one of a relu is, see `gate`.
        """
        found = np.concatenate([np.zeros(0), *map(np.ravel, self.margins)])
        self.margins.clear()
        return found[found != 0] / CLOSE if len(found) <= MANY else np.zeros(0)

    def _mark(self, layer: Any) -> None:
        kind, call = type(layer).__name__, layer.call
        if kind == "ReLU" or getattr(layer, "activation", None) in _RELU:
            if kind in ("ReLU", "Activation"):
                layer.call = lambda x: self._rectified(call, x)
            else:
                function = layer.activation
                layer.activation = lambda x: self._rectified(function, x)
        elif kind.startswith(PASSIVE):
            layer.call = lambda x, *rest, **options: _passed_on(call, x, rest, options)
        elif kind == "ZeroPadding2D":
            layer.call = lambda x: _marked(call(x), "unpadded", (x, layer.padding))

    def _rectified(self, function, x):
        self.margins.append(x.numpy())
        return _marked(function(x), "unrectified", x)

    def _quantize(self, path: str, layer: Any, scheme: Scheme) -> None:
        call, name = layer.call, "kernel"
        if "Depthwise" in type(layer).__name__:
            name = "depthwise_kernel"

        def quantized(x):
            kernel = getattr(layer, name)
            if scheme.activations is not None:
                x = self._input(path, x, scheme.activations)
            if scheme.weights is None:
                return call(x)
            object.__setattr__(layer, name, self._kernel(path, layer, kernel, scheme))
            try:
                return call(x)
            finally:
                object.__setattr__(layer, name, kernel)

        layer.call = quantized

    def _input(self, path: str, x, bits: int):
        if hasattr(x, "unpadded"):
            inner, padding = x.unpadded
            return tf.pad(self._input(path, inner, bits), [(0, 0), *padding, (0, 0)])
        if bits == 1:
            x = getattr(x, "unrectified", x)
            self.margins += [x.numpy(), np.abs(x.numpy()) - 1]
            return sign(x)
        y, margins = rounded(x, self.variables["range", path], bits, self.signed[path])
        self.margins += [margin.numpy() for margin in margins]
        return y

    def _kernel(self, path: str, layer: Any, variable, scheme: Scheme):
        w, kind = tf.convert_to_tensor(variable), scheme.weights.kind
        axes = _summed(type(layer).__name__, w.shape.rank)
        c = self._bound(path, w, axes, scheme.weights.clipping)
        if c is not None:
            w = _clip(w, -c, c)
        if kind == "rounded":
            n = 2 ** (scheme.weights.bits - 1) - 1
            held = tf.stop_gradient(c)
            self.margins.append(_from_half(w / held * n).numpy())
            return _straight(w, lambda v: held * tf.round(v / held * n) / n)
        size = tf.stop_gradient(tf.reduce_mean(tf.abs(w), axes, keepdims=True))
        kept = tf.ones_like(w)
        if kind == "ternary":
            self.margins.append((tf.abs(w) - THRESHOLD * size).numpy())
            kept = tf.cast(tf.abs(w) > THRESHOLD * size, w.dtype)
            total = tf.reduce_sum(tf.abs(w) * kept, axes, keepdims=True)
            count = tf.maximum(tf.reduce_sum(kept, axes, keepdims=True), 1)
            size = tf.stop_gradient(total / count)
        return size * _straight(w, lambda v: kept * tf.where(v >= 0, 1 + 0 * v, -1))

    def _bound(self, path: str, w, axes: list[int], clipping: str):
        if clipping == "trained":
            c = self.variables["kernel_clip", path]
            kept = [1 if axis in axes else n for axis, n in enumerate(w.shape)]
            c = tf.reshape(c, kept)
        elif clipping == "none":
            return None
        elif clipping == "one":
            return tf.ones([1] * w.shape.rank, w.dtype)
        elif clipping == "largest":
            c = tf.stop_gradient(tf.reduce_max(tf.abs(w), axes, keepdims=True))
        else:
            spread = tf.math.reduce_std(w, axes, keepdims=True)
            c = tf.stop_gradient(DEVIATIONS * spread)
            self.margins.append((tf.abs(w) - c).numpy())
        return c + tf.stop_gradient(tf.maximum(c, tf.cast(LEAST, c.dtype)) - c)


def _summed(kind: str, rank: int) -> list[int]:
    if "Depthwise" in kind:
        return list(range(rank - 2))
    channel = rank - 2 if "Transpose" in kind else rank - 1
    return [axis for axis in range(rank) if axis != channel]


def _marked(y, name: str, value):
    setattr(y, name, value)
    return y


def _passed_on(call, x, rest, options):
    y = call(x, *rest, **options)
    if hasattr(x, "unrectified"):
        y.unrectified = call(x.unrectified, *rest, **options)
    return y


def rounded(x, variable, bits: int, signed: bool):
    """Returns (activations on a few levels, how far each was from another one).

    Args:
      x: [B, ...].
      variable: [1], their range.
      bits: of a level's number.
      signed: whether levels below 0 are among them.
    """
    r = tf.maximum(variable, tf.cast(LEAST, x.dtype))
    low, n = (-r, 2 ** (bits - 1) - 1) if signed else (0 * r, 2**bits - 1)
    clipped = _clip(x, low, r)
    margins = [x - r, x - low, _from_half(clipped / r * n)]
    held = tf.stop_gradient(r)
    return _straight(clipped, lambda v: held * tf.round(v / held * n) / n), margins


def _from_half(x):
    """Returns how far numbers are from where rounding takes the next one."""
    return tf.abs(x - tf.floor(x) - 0.5)


@tf.custom_gradient
def sign(x):
    """Returns signs; the gradient passes where |x| <= 1."""
    passes = tf.cast(tf.abs(x) <= 1, x.dtype)
    return tf.where(x >= 0, 1 + 0 * x, -1), lambda g: g * passes


def _straight(x, function):
    """Returns function(x); its gradient is x's."""
    return tf.custom_gradient(lambda x: (function(x), lambda g: g))(x)


@tf.custom_gradient
def _clip(x, low, high):
    """Returns x between two bounds; the gradient of what is beyond goes to these."""

    def backward(g):
        below, beyond = tf.cast(x < low, x.dtype), tf.cast(x > high, x.dtype)
        return g * (1 - below - beyond), _to(g * below, low), _to(g * beyond, high)

    return tf.minimum(tf.maximum(x, low), high), backward


def _to(g, like):
    """Returns the sum of g over the axes along which `like` was broadcast."""
    extra = g.shape.rank - like.shape.rank
    axes = [
        axis for axis, size in enumerate([1] * extra + list(like.shape)) if size == 1
    ]
    return tf.reshape(tf.reduce_sum(g, axes), like.shape)
