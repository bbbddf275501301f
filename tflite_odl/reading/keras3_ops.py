"""Keras 3's operations on tensors, `x * 2`, `keras.ops.mean(x, 1)`, for tf_keras.

Keras 3 keeps each call as an operation of a class of its own, its options being
attributes of it. Here each becomes a layer of tf_keras that has the operation's name:
a TensorFlow function on tensors, as tf_keras keeps it, or a layer that does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading.keras3_activations import TWINS

Function = Callable[..., Any]


def function(operation: Any, path: str) -> Function:
    """Returns what takes the arguments of an operation's call and has its output.

    Args:
      operation: of Keras 3.
      path: names the operation in errors.

    Raises:
      ModelError: there is no such function here.
    """
    kind = type(operation).__name__
    if kind not in OPERATIONS:
        raise ModelError(
            f"operation {path!r} ({kind}) cannot be rebuilt; use a layer instead, or "
            f"one of {', '.join(sorted(OPERATIONS))}"
        )
    return OPERATIONS[kind](operation)


def call(symbol: str, name: str) -> Function:
    """Returns a layer of tf_keras that calls a TensorFlow function.

    Args:
      symbol: of the function, such as "math.reduce_mean".
      name: of the layer.
    """
    kind = "SlicingOpLambda" if symbol == "__operators__.getitem" else "TFOpLambda"
    config = {"name": name, "function": symbol, "trainable": True, "dtype": "float32"}
    return tf_keras.layers.deserialize({"class_name": kind, "config": config})


def _of(symbol: str, **options: str) -> Callable[[Any], Function]:
    """Returns the translation to a TensorFlow function.

    Args:
      symbol: of the function.
      **options: the function's argument -> the operation's attribute.
    """

    def translate(op: Any) -> Function:
        chosen = {k: _plain(getattr(op, attribute)) for k, attribute in options.items()}
        layer, of_floats = call(symbol, op.name), symbol in _OF_FLOATS
        return lambda *tensors: layer(*_as_floats(tensors, of_floats), **chosen)

    return translate


def _layer(make: Callable[[Any], tf_keras.layers.Layer]) -> Callable[[Any], Function]:
    """Returns the translation to a layer of tf_keras."""

    def translate(op: Any) -> Function:
        layer = make(op)
        return lambda *tensors: layer(*_as_floats(tensors))

    return translate


def _activation(name: str) -> Callable[[Any], Function]:
    twin = TWINS.get(name, name)
    return _layer(lambda op: tf_keras.layers.Activation(twin, name=op.name))


def _reduction(symbol: str) -> Callable[[Any], Function]:
    return _of(symbol, axis="axis", keepdims="keepdims")


def _relu(op: Any) -> Function:
    """keras.activations.relu, which has options that keras.ops.relu has not."""
    options = ("max_value", "negative_slope", "threshold")
    chosen = {name: getattr(op, name) for name in options}
    return _layer(lambda op: tf_keras.layers.ReLU(**chosen, name=op.name))(op)


def _gelu(op: Any) -> Function:
    if op.approximate:
        return _of("nn.gelu", approximate="approximate")(op)
    return _activation("gelu")(op)


def _extremum(symbol: str) -> Callable[[Any], Function]:
    def translate(op: Any) -> Function:
        if op.initial is not None:
            raise ModelError(f"operation {op.name!r}: initial={op.initial} is not read")
        return _reduction(symbol)(op)

    return translate


def _norm(op: Any) -> Function:
    if op.ord not in (None, 2, "euclidean"):
        raise ModelError(f"operation {op.name!r}: only ord=2 can be rebuilt")
    layer, axes = call("norm", op.name), _plain(op.axis)
    if isinstance(axes, list):  # two are those of a matrix
        if len(axes) > 1:
            raise ModelError(f"operation {op.name!r}: only one axis can be rebuilt")
        (axes,) = axes
    return lambda x: layer(*_as_floats([x]), axis=axes, keepdims=op.keepdims)


def _normalize(op: Any) -> Function:
    """Vectors shorter than 1e-6 are scaled by 1e6 at most, in Keras 3 by 1e7."""
    if op.order != 2:
        raise ModelError(f"operation {op.name!r}: only order=2 can be rebuilt")
    return _of("math.l2_normalize", axis="axis")(op)


def _of_shape(symbol: str, attribute: str, argument: str) -> Callable[[Any], Function]:
    """Returns the translation of an operation that has a shape; an open batch, None in
    it, is what is left over."""

    def translate(op: Any) -> Function:
        layer = call(symbol, op.name)
        shape = [-1 if size is None else size for size in getattr(op, attribute)]
        return lambda x: layer(x, **{argument: shape})

    return translate


def _split(op: Any) -> Function:
    layer, given = call("split", op.name), op.indices_or_sections

    def apply(x: Any) -> Any:
        sections = given
        if not isinstance(given, int):
            ends = [0, *map(int, given), x.shape[op.axis]]
            sections = [int(size) for size in np.diff(ends)]
        return layer(x, sections, axis=op.axis)

    return apply


def _swapped(op: Any) -> Function:
    def order(rank: int) -> list[int]:
        found = [*range(rank)]
        a, b = op.axis1 % rank, op.axis2 % rank
        found[a], found[b] = b, a
        return found

    return _permuted(op, order)


def _moved(op: Any) -> Function:
    def order(rank: int) -> list[int]:
        # The shape is each axis' own number, so the moved shape is the order.
        return [*np.moveaxis(np.empty(range(rank)), op.source, op.destination).shape]

    return _permuted(op, order)


def _permuted(op: Any, order: Callable[[int], list[int]]) -> Function:
    layer = call("transpose", op.name)
    return lambda x: layer(x, perm=order(len(x.shape)))


def _take(op: Any) -> Function:
    """x[..., i, ...] by one whole number."""
    layer = call("__operators__.getitem", op.name)

    def apply(x: Any, index: Any) -> Any:
        if op.axis is None or np.ndim(index) or hasattr(index, "_keras_history"):
            raise ModelError(f"operation {op.name!r}: it takes more than one entry")
        before = [slice(None)] * (op.axis % len(x.shape))
        return layer(x, (*before, int(index)))

    return apply


def _tiled(op: Any) -> Function:
    layer = call("tile", op.name)
    repeats = [op.repeats] if isinstance(op.repeats, int) else list(op.repeats)

    def apply(x: Any) -> Any:
        return layer(x, multiples=[*[1] * (len(x.shape) - len(repeats)), *repeats])

    return apply


def _padded(op: Any) -> Function:
    layer = call("pad", op.name)

    def apply(x: Any, constant_values: Any = None) -> Any:
        widths = [tuple(map(int, pair)) for pair in op.pad_width]
        if len(widths) == 1:
            widths = widths * len(x.shape)
        options = {"mode": op.mode.upper(), "constant_values": constant_values or 0}
        return layer(x, widths, **options)

    return apply


def _pool(kind: str) -> Callable[[Any], Function]:
    def translate(op: Any) -> Function:
        made: dict[int, tf_keras.layers.Layer] = {}

        def apply(x: Any) -> Any:
            rank = len(x.shape) - 2
            target = getattr(tf_keras.layers, f"{kind}Pooling{rank}D")
            options = {"strides": op.strides, "padding": op.padding, "name": op.name}
            layer = made.setdefault(rank, target(op.pool_size, **options))
            return layer(x)

        return apply

    return translate


def _block(symbol: str) -> Callable[[Any], Function]:
    def translate(op: Any) -> Function:
        _check_last(op)
        return _of(symbol, block_size="block_size")(op)

    return translate


def _resize(op: Any) -> Function:
    _check_last(op)
    if op.crop_to_aspect_ratio or op.pad_to_aspect_ratio:
        raise ModelError(f"operation {op.name!r}: the aspect ratio must be let go")
    options = {"size": "size", "method": "interpolation", "antialias": "antialias"}
    return _of("image.resize", **options)(op)


def _check_last(op: Any) -> None:
    if op.data_format != "channels_last":
        raise ModelError(f"operation {op.name!r} needs data_format channels_last")


def _one_hot(op: Any) -> Function:
    if op.sparse or op.axis != -1:
        raise ModelError(f"operation {op.name!r}: only axis=-1 can be rebuilt")
    return _of("one_hot", depth="num_classes")(op)


def _as_floats(tensors: Sequence[Any], always: bool = False) -> list[Any]:
    """Returns the arguments of a call, in float32 where one of them is a float.

    Keras 3 computes so too: a whole number times a float is a float.
    """
    if not (always or any(map(_is_float, tf.nest.flatten(tensors)))):
        return list(tensors)

    def cast(leaf: Any) -> Any:
        if hasattr(leaf, "_keras_history"):
            return leaf if leaf.dtype.is_floating else tf.cast(leaf, "float32")
        if isinstance(leaf, (np.ndarray, np.generic, tf.Tensor)):
            return tf.cast(leaf, tf.float32)
        return leaf

    return tf.nest.map_structure(cast, list(tensors))


def _is_float(leaf: Any) -> bool:
    if isinstance(leaf, float):
        return True
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and tf.as_dtype(dtype).is_floating


def _plain(value: Any) -> Any:
    """Returns an option without Keras' own kinds of lists."""
    return [*value] if isinstance(value, (list, tuple)) else value


# Functions that have floats of whole numbers.
_OF_FLOATS = ("math.truediv", "math.reduce_mean", "math.reduce_variance")
_BY_NAME = {
    "Absolute": "math.abs",
    "Add": "math.add",
    "Cos": "math.cos",
    "Divide": "math.truediv",
    "Erf": "math.erf",
    "Exp": "math.exp",
    "Log": "math.log",
    "Log1p": "math.log1p",
    "Matmul": "linalg.matmul",
    "Maximum": "math.maximum",
    "Minimum": "math.minimum",
    "Multiply": "math.multiply",
    "Negative": "math.negative",
    "Power": "math.pow",
    "Reciprocal": "math.reciprocal",
    "Rsqrt": "math.rsqrt",
    "Sin": "math.sin",
    "Sqrt": "math.sqrt",
    "Square": "math.square",
    "Subtract": "math.subtract",
    "TrueDivide": "math.truediv",
}
_ACTIVATIONS = {
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "Relu": "relu",
    "Relu6": "relu6",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Silu": "silu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Tanh": "tanh",
}

# Class name -> operation of that class -> function of its call's arguments.
OPERATIONS: Mapping[str, Callable[[Any], Function]] = {
    **{kind: _of(symbol) for kind, symbol in _BY_NAME.items()},
    **{kind: _activation(name) for kind, name in _ACTIVATIONS.items()},
    "AveragePool": _pool("Average"),
    "BroadcastTo": _of_shape("broadcast_to", "shape", "shape"),
    "Cast": _of("cast", dtype="dtype"),
    "Clip": _of("clip_by_value", clip_value_min="x_min", clip_value_max="x_max"),
    "Concatenate": _of("concat", axis="axis"),
    "DepthToSpace": _block("nn.depth_to_space"),
    "Elu": _layer(lambda op: tf_keras.layers.ELU(op.alpha, name=op.name)),
    "ExpandDims": _of("expand_dims", axis="axis"),
    "Gelu": _gelu,
    "GetItem": _of("__operators__.getitem"),
    "LeakyRelu": _of("nn.leaky_relu", alpha="negative_slope"),
    "Max": _extremum("math.reduce_max"),
    "MaxPool": _pool("Max"),
    "Mean": _reduction("math.reduce_mean"),
    "Min": _extremum("math.reduce_min"),
    "Moveaxis": _moved,
    "Norm": _norm,
    "OneHot": _one_hot,
    "Normalize": _normalize,
    "Pad": _padded,
    "ReLU": _relu,
    "Repeat": _of("repeat", repeats="repeats", axis="axis"),
    "Reshape": _of_shape("reshape", "newshape", "shape"),
    "Resize": _resize,
    "Roll": _of("roll", shift="shift", axis="axis"),
    "Softmax": _layer(lambda op: tf_keras.layers.Softmax(op.axis, name=op.name)),
    "SpaceToDepth": _block("nn.space_to_depth"),
    "Split": _split,
    "Squeeze": _of("squeeze", axis="axis"),
    "Stack": _of("stack", axis="axis"),
    "Std": _reduction("math.reduce_std"),
    "Sum": _reduction("math.reduce_sum"),
    "Swapaxes": _swapped,
    "Take": _take,
    "Tile": _tiled,
    "Transpose": _of("transpose", perm="axes"),
    "Unstack": _of("unstack", num="num", axis="axis"),
    "Var": _reduction("math.reduce_variance"),
}
