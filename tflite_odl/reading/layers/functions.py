"""TensorFlow functions called on Keras tensors: `x + y`, `tf.nn.relu6(x)`, `x[:, ::2]`.

Keras keeps each as a layer, TFOpLambda or SlicingOpLambda, with the call's arguments.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tflite_odl.reading.layers import activations, merging, shapes


@dataclasses.dataclass(frozen=True)
class Ref:
    """A tensor among the arguments of a call, by the name of its node."""

    name: str


def op_lambda(context) -> str:
    function = context.layer.get_config()["function"]
    if function not in FUNCTIONS:
        raise context.refuse(
            f"function {function!r} cannot be trained with builtin ops",
            f"a Keras layer, or one of {', '.join(sorted(FUNCTIONS))}",
        )
    args, kwargs = _arguments(context)
    kwargs.pop("name", None)
    convert = FUNCTIONS[function]
    try:
        inspect.signature(convert).bind(context, *args, **kwargs)
    except TypeError as error:
        raise context.refuse(f"{function}: {error}", "its usual arguments") from error
    return convert(context, *args, **kwargs)


def _arguments(context) -> tuple[tuple, dict]:
    """Returns the call's arguments, symbolic tensors replaced by their nodes' names."""
    names = iter(context.inputs)

    def named(leaf: Any) -> Any:
        if isinstance(leaf, tf.Variable):
            raise context.refuse("it reads a variable", "a Keras layer with a weight")
        return Ref(next(names)) if hasattr(leaf, "_keras_history") else leaf

    call = context.call
    return tf.nest.map_structure(named, (tuple(call.call_args), dict(call.call_kwargs)))


def _binary(merge: Callable, constant: Callable | None = None) -> Callable:
    """Returns the converter of a function of two tensors, or of one and a constant.

    `constant` takes (value, whether it is the first argument) and returns the
    attributes of an affine op, or None.
    """

    def convert(context, x, y) -> str:
        if isinstance(x, Ref) and isinstance(y, Ref):
            ranks = {len(context.builder.shape(ref.name)) for ref in (x, y)}
            if len(ranks) > 1:
                raise context.refuse("tensors of different ranks", "equal ranks")
            return merge(context)
        first = not isinstance(x, Ref)
        value = _constant(context, x if first else y)
        attributes = constant(value, first) if constant else None
        if attributes is None:
            raise context.refuse("it takes a constant", "tensors of the model only")
        return context.add("affine", context.shape, attributes)

    return convert


def _constant(context, value: Any) -> np.ndarray:
    """Returns a constant as an array that broadcasts to the input without its batch."""
    value, rank = np.asarray(value, np.float64), len(context.shape) + 1
    if value.ndim == rank and len(value) == 1:
        value = value[0]
    try:
        fits = np.broadcast_shapes(value.shape, context.shape) == context.shape
    except ValueError:
        fits = False
    if not fits:
        raise context.refuse(
            f"a constant of shape {value.shape} on {context.shape}",
            "one that broadcasts to the tensor",
        )
    return value


def _quotient(value: np.ndarray, first: bool) -> dict | None:
    return None if first else {"scale": 1.0 / value}


def _refuse_quotient(context) -> str:
    raise context.refuse("a tensor divided by a tensor", "Multiply")


def _difference(value: np.ndarray, first: bool) -> dict:
    return {"scale": -1.0, "offset": value} if first else {"offset": -value}


def _unary(name: str) -> Callable:
    op, attributes = activations.ACTIVATIONS[name]

    def convert(context, *args, **kwargs) -> str:
        if len(args) + len(kwargs) != 1:
            raise context.refuse("it has options", "the function without options")
        return context.add(op, context.shape, attributes)

    return convert


def _gelu(context, features, approximate=False) -> str:
    return context.add("tanh_gelu" if approximate else "gelu", context.shape)


def _softmax(context, logits, axis=-1) -> str:
    return activations.add_softmax(context, -1 if axis is None else int(axis))


def _cast(context, x, dtype) -> str:
    if not tf.as_dtype(dtype).is_floating:
        raise context.refuse(f"a cast to {dtype}", "float32")
    return context.inputs[0]


def _square(context, x) -> str:
    context.inputs = context.inputs * 2
    return context.add("multiply", context.shape)


def _concat(context, values, axis) -> str:
    return merging.add_concatenation(context, int(axis))


def _reshape(context, tensor, shape) -> str:
    found = context.call.outputs.shape
    if found[0] is not None or math.prod(found[1:]) != math.prod(context.shape):
        raise context.refuse(f"a reshape to {shape}", "[-1, ...], the batch first")
    return shapes.add_reshape(context, found[1:])


def _transpose(context, a, perm=None, conjugate=False) -> str:
    if perm is None or perm[0] != 0:
        raise context.refuse(f"the axes {perm} move the batch", "0 as the first axis")
    return shapes.add_permute(context, perm[1:])


def _getitem(context, x, items) -> str:
    """x[:, 1:5, ::2, 0]: positive steps; a whole number drops its axis."""
    items = list(items) if isinstance(items, (tuple, list)) else [items]
    if any(item is Ellipsis for item in items):
        at = next(k for k, item in enumerate(items) if item is Ellipsis)
        missing = len(context.shape) + 2 - len(items)
        items[at : at + 1] = [_WHOLE] * missing
    items += [_WHOLE] * (len(context.shape) + 1 - len(items))
    if not all(isinstance(item, (int, Mapping)) for item in items):
        raise context.refuse("an index that is no slice", "whole numbers and slices")
    if items[0] != _WHOLE:
        raise context.refuse("it slices the batch", "`:` as the first index")
    ranges, kept = [], []
    for item, size in zip(items[1:], context.shape, strict=True):
        if isinstance(item, int):
            ranges.append((item % size, 1, 1))
            continue
        chosen = range(size)[slice(item["start"], item["stop"], item["step"])]
        if chosen.step < 1 or not chosen:
            raise context.refuse(f"the slice {chosen}", "a positive step")
        ranges.append((chosen.start, chosen.step, len(chosen)))
        kept.append(len(chosen))
    if len(kept) == len(ranges):
        return shapes.add_slice(context, ranges)
    shapes.add_slice(context, ranges, suffix="/slice")
    return shapes.add_reshape(context, kept)


_WHOLE = {"start": None, "stop": None, "step": None}

_add = _binary(merging.add, lambda value, first: {"offset": value})
_subtract = _binary(merging.subtract, _difference)
_multiply = _binary(merging.multiply, lambda value, first: {"scale": value})
_divide = _binary(_refuse_quotient, _quotient)

FUNCTIONS: dict[str, Callable] = {
    "__operators__.add": _add,
    "__operators__.getitem": _getitem,
    "cast": _cast,
    "compat.v1.transpose": _transpose,
    "concat": _concat,
    "math.add": _add,
    "math.divide": _divide,
    "math.exp": _unary("exponential"),
    "math.maximum": _binary(merging.maximum),
    "math.minimum": _binary(merging.minimum),
    "math.multiply": _multiply,
    "math.negative": lambda c, x: c.add("affine", c.shape, {"scale": -1.0}),
    "math.sigmoid": _unary("sigmoid"),
    "math.softplus": _unary("softplus"),
    "math.square": _square,
    "math.subtract": _subtract,
    "math.tanh": _unary("tanh"),
    "math.truediv": _divide,
    "nn.elu": _unary("elu"),
    "nn.gelu": _gelu,
    "nn.leaky_relu": lambda c, features, alpha=0.2: activations.add_relu(
        c, None, alpha
    ),
    "nn.relu": _unary("relu"),
    "nn.relu6": _unary("relu6"),
    "nn.selu": _unary("selu"),
    "nn.silu": _unary("silu"),
    "nn.softmax": _softmax,
    "nn.softsign": _unary("softsign"),
    "reshape": _reshape,
    "transpose": _transpose,
}

CONVERTERS = {
    "SlicingOpLambda": op_lambda,
    "TFOpLambda": op_lambda,
}
