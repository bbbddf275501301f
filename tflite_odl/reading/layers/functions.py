"""TensorFlow functions called on Keras tensors: `x + y`, `tf.nn.relu6(x)`, `x[:, ::2]`.

Keras keeps each as a layer, TFOpLambda or SlicingOpLambda, with the call's arguments.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tflite_odl.reading.layers import (
    activations,
    categories,
    merging,
    rearranging,
    reductions,
    resizing,
)


@dataclasses.dataclass(frozen=True)
class Ref:
    """A tensor among the arguments of a call, by the name of its node."""

    name: str


def op_lambda(context) -> str | list[str]:
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


def _divide(context, x, y) -> str:
    if isinstance(x, Ref):
        return _quotient(context, x, y)
    value = _constant(context, x)
    context.add("power", context.shape, {"exponent": -1.0}, suffix="/inverse")
    return context.add("affine", context.shape, {"scale": value})


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


def _power(context, x, y) -> str:
    if not isinstance(x, Ref) or isinstance(y, Ref) or np.ndim(y):
        raise context.refuse("a power that is no number", "a number as the exponent")
    return context.add("power", context.shape, {"exponent": float(y)})


def _root(exponent: float) -> Callable:
    def convert(context, x) -> str:
        return context.add("power", context.shape, {"exponent": exponent})

    return convert


def _logarithm_of_more(context, x) -> str:
    context.add("affine", context.shape, {"offset": 1.0}, suffix="/more")
    return context.add("logarithm", context.shape)


def _elementary(op: str) -> Callable:
    return lambda context, x: context.add(op, context.shape)


def _clip(context, t, clip_value_min, clip_value_max) -> str:
    return _add_clip(context, clip_value_min, clip_value_max)


def _limit(extremum: Callable, low: bool) -> Callable:
    """Returns the converter of a maximum or minimum of tensors, or with a number; of
    equal ones the first has the gradient."""
    both = _binary(extremum)

    def convert(context, x, y) -> str:
        if isinstance(x, Ref) and isinstance(y, Ref):
            return both(context, x, y)
        limit = y if isinstance(x, Ref) else x
        if np.size(limit) != 1:
            raise context.refuse("a limit for each entry", "one number")
        limit = float(np.asarray(limit).item())
        limits = (limit, None) if low else (None, limit)
        return _add_clip(context, *limits, is_open=not isinstance(x, Ref))

    return convert


def _add_clip(context, low, high, is_open: bool = False) -> str:
    if (
        isinstance(low, Ref)
        or isinstance(high, Ref)
        or np.size(low) * np.size(high) > 1
    ):
        raise context.refuse("limits that are no numbers", "numbers")
    low, high = (None if v is None else float(v) for v in (low, high))
    attributes = {"low": low, "high": high, "open": is_open}
    return context.add("clip", context.shape, attributes)


def _identity(context, input) -> str:
    return context.inputs[0]


_add = _binary(merging.add, lambda value, first: {"offset": value})
_subtract = _binary(merging.subtract, _difference)
_multiply = _binary(merging.multiply, lambda value, first: {"scale": value})
_quotient = _binary(merging.divide, lambda value, first: {"scale": 1.0 / value})


def _matmul(context, a, b, transpose_a=False, transpose_b=False) -> str:
    """The products of the last two axes of two tensors, for each of the others."""
    if not (isinstance(a, Ref) and isinstance(b, Ref)):
        raise context.refuse("a product with a constant", "a Dense layer")
    shapes = [context.builder.shape(ref.name) for ref in (a, b)]
    (*lead, rows, _), (*other, inner, columns) = shapes
    if transpose_a or lead != other or len(shapes[0]) < 2:
        raise context.refuse(f"a product of {shapes}", "equal axes but the last two")
    columns = inner if transpose_b else columns
    attributes = {"transpose": bool(transpose_b)}
    return context.add("matmul", (*lead, rows, columns), attributes)


FUNCTIONS: dict[str, Callable] = {
    **reductions.FUNCTIONS,
    **rearranging.FUNCTIONS,
    **resizing.FUNCTIONS,
    **categories.FUNCTIONS,
    "__operators__.add": _add,
    "cast": _cast,
    "clip_by_value": _clip,
    "identity": _identity,
    "math.abs": _elementary("absolute"),
    "math.add": _add,
    "math.cos": _elementary("cosine"),
    "math.divide": _divide,
    "math.erf": _elementary("error_function"),
    "math.exp": _unary("exponential"),
    "math.log": _elementary("logarithm"),
    "math.log1p": _logarithm_of_more,
    "math.maximum": _limit(merging.maximum, low=True),
    "math.minimum": _limit(merging.minimum, low=False),
    "math.multiply": _multiply,
    "math.negative": lambda c, x: c.add("affine", c.shape, {"scale": -1.0}),
    "math.pow": _power,
    "math.reciprocal": _root(-1.0),
    "math.rsqrt": _root(-0.5),
    "math.sigmoid": _unary("sigmoid"),
    "math.sin": _elementary("sine"),
    "math.softplus": _unary("softplus"),
    "math.sqrt": _root(0.5),
    "math.square": _square,
    "math.subtract": _subtract,
    "math.tanh": _unary("tanh"),
    "math.truediv": _divide,
    "linalg.matmul": _matmul,
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
}

CONVERTERS = {
    "SlicingOpLambda": op_lambda,
    "TFOpLambda": op_lambda,
}
