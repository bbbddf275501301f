"""TensorFlow's sums, means, maxima and variances over some axes of a tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tflite_odl.builtin.reductions import factor
from tflite_odl.reading.layers import merging


def mean(context, input_tensor, axis=None, keepdims=False) -> str:
    return add_sum(context, axes(context, axis), keepdims, mean=True)


def total(context, input_tensor, axis=None, keepdims=False) -> str:
    return add_sum(context, axes(context, axis), keepdims)


def extremum(sign: float) -> Callable:
    """Returns the converter of a maximum, or of a minimum by -1."""

    def convert(context, input_tensor, axis=None, keepdims=False) -> str:
        return add_extremum(context, axes(context, axis), sign, keepdims)

    return convert


def variance(context, input_tensor, axis=None, keepdims=False) -> str:
    """The mean of (x - mean)^2."""
    over = axes(context, axis)
    (x,) = context.inputs
    centre = add_sum(context, over, True, mean=True, suffix="/centre")
    context.inputs = [x, centre]
    off = merging.add_linear(context, (1.0, -1.0), suffix="/off")
    context.inputs = [off, off]
    context.add("multiply", context.shape, suffix="/squared")
    return add_sum(context, over, keepdims, mean=True)


def deviation(context, input_tensor, axis=None, keepdims=False) -> str:
    variance(context, input_tensor, axis, keepdims)
    return context.add("power", context.shape, {"exponent": 0.5}, suffix="/root")


def norm(context, tensor, ord="euclidean", axis=None, keepdims=None) -> str:
    """The root of the sum of squares."""
    if ord not in ("euclidean", 2):
        raise context.refuse(f"the norm of order {ord}", "the euclidean one")
    context.inputs = context.inputs * 2
    context.add("multiply", context.shape, suffix="/squared")
    add_sum(context, axes(context, axis), bool(keepdims), suffix="/sum")
    return context.add("power", context.shape, {"exponent": 0.5})


def normalize(context, x, axis=None, epsilon=1e-12) -> str:
    if epsilon != 1e-12:
        raise context.refuse(f"epsilon {epsilon}", "TensorFlow's own, 1e-12")
    return context.add("unit_norm", context.shape, {"axes": axes(context, axis)})


def add_extremum(
    context, over: Sequence[int], sign: float, keepdims: bool = False
) -> str:
    """Adds a maximum over axes, or a minimum by `sign` -1."""
    shape = _shape(context, over, keepdims)
    return context.add("reduce_extremum", shape, {"axes": tuple(over), "sign": sign})


def add_sum(
    context,
    over: Sequence[int],
    keepdims: bool,
    mean: bool = False,
    suffix: str = "",
) -> str:
    """Adds a sum or a mean over axes; a mean over all pixels or steps as a pooling."""
    size = context.shape
    shape = _shape(context, over, keepdims)
    if mean and len(size) in (2, 3) and list(over) == list(range(1, len(size))):
        op = "global_average_pool" if len(size) == 3 else "global_average_pool1d"
        image = (*(1,) * (3 - len(size)), *size)
        return context.add(op, shape, {"input": image}, suffix=suffix)
    times = factor(size, over, mean)
    attributes = {"axes": tuple(over), "factor": times, "input": size}
    return context.add("reduce_sum", shape, attributes, suffix=suffix)


def axes(context, axis: Any) -> tuple[int, ...]:
    """Returns axes as TensorFlow takes them, in order, counted from the front.

    Raises:
      ModelError: the batch is among them.
    """
    rank = len(context.shape) + 1
    given = range(rank) if axis is None else [axis] if _is_number(axis) else axis
    found = tuple(sorted({int(k) % rank for k in given}))
    if 0 in found:
        raise context.refuse("it goes over the batch", "an axis of its own rows")
    return found


def _is_number(axis: Any) -> bool:
    return not hasattr(axis, "__len__") or getattr(axis, "ndim", None) == 0


def _shape(context, over: Sequence[int], keepdims: bool) -> list[int]:
    sizes = enumerate(context.shape, 1)
    if keepdims:
        return [1 if axis in over else size for axis, size in sizes]
    return [size for axis, size in sizes if axis not in over]


FUNCTIONS: dict[str, Callable] = {
    "compat.v1.norm": norm,
    "math.l2_normalize": normalize,
    "math.reduce_max": extremum(1.0),
    "math.reduce_mean": mean,
    "math.reduce_min": extremum(-1.0),
    "math.reduce_std": deviation,
    "math.reduce_sum": total,
    "math.reduce_variance": variance,
    "norm": norm,
}
