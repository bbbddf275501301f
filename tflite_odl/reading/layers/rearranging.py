"""TensorFlow's functions that move, repeat or part the entries of a tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tflite_odl.reading.layers import merging, shapes
from tflite_odl.reading.layers.reductions import axes

WHOLE = {"start": None, "stop": None, "step": None}


def concatenation(context, values, axis) -> str:
    return merging.add_concatenation(context, int(axis))


def stack(context, values, axis=0) -> str:
    """Tensors side by side along a new axis."""
    rank = len(context.shape) + 2
    axis = _behind_the_batch(context, axis, rank)
    size = list(context.shape)
    size.insert(axis - 1, 1)
    names = list(context.inputs)
    for k, name in enumerate(names):
        context.inputs = [name]
        names[k] = shapes.add_reshape(context, size, suffix=f"/part{k}")
    context.inputs = names
    return merging.add_concatenation(context, axis)


def split(context, value, num_or_size_splits, axis=0, num=None) -> list[str]:
    """Parts along an axis: so many equal ones, or of these sizes."""
    axis = _behind_the_batch(context, axis, len(context.shape) + 1)
    whole = context.shape[axis - 1]
    given = num_or_size_splits
    sizes = (
        [whole // given] * given if isinstance(given, int) else list(map(int, given))
    )
    if -1 in sizes:
        sizes[sizes.index(-1)] += whole - sum(sizes)
    if sum(sizes) != whole:
        raise context.refuse(f"{whole} entries in parts of {sizes}", "parts that fit")
    return _parts(context, axis, sizes)


def unstack(context, value, num=None, axis=0) -> list[str]:
    """The entries along an axis, which goes."""
    axis = _behind_the_batch(context, axis, len(context.shape) + 1)
    shape = list(context.shape)
    parts = _parts(context, axis, [1] * shape.pop(axis - 1))
    found = []
    for k, name in enumerate(parts):
        context.inputs = [name]
        found.append(shapes.add_reshape(context, shape, suffix=f"/entry{k}"))
    return found


def _parts(context, axis: int, sizes: Sequence[int]) -> list[str]:
    source, found, begin = list(context.inputs), [], 0
    for k, size in enumerate(sizes):
        context.inputs = source
        ranges = [(0, 1, n) for n in context.shape]
        ranges[axis - 1] = (begin, 1, size)
        found.append(shapes.add_slice(context, ranges, suffix=f"/part{k}"))
        begin += size
    return found


def reshape(context, tensor, shape) -> str:
    return _reshaped(context, f"a reshape to {shape}")


def expand_dims(context, input, axis=None) -> str:
    return _reshaped(context, f"a new axis {axis}")


def squeeze(context, input, axis=None, squeeze_dims=None) -> str:
    return _reshaped(context, f"without the axes {axis}")


def _reshaped(context, what: str) -> str:
    found = context.call.outputs.shape
    if found[0] is not None or math.prod(found[1:]) != math.prod(context.shape):
        raise context.refuse(what, "[-1, ...], the batch first")
    return shapes.add_reshape(context, found[1:])


def transpose(context, a, perm=None, conjugate=False) -> str:
    rank = len(context.shape) + 1
    order = range(rank)[::-1] if perm is None else [int(k) % rank for k in perm]
    if order[0] != 0:
        raise context.refuse(f"the axes {perm} move the batch", "0 as the first axis")
    return shapes.add_permute(context, order[1:])


def getitem(context, tensor, slice_spec, var=None) -> str:
    """x[:, 1:5, ::2, 0, None]: positive steps; a whole number drops its axis."""
    several = isinstance(slice_spec, (tuple, list))
    items = list(slice_spec) if several else [slice_spec]
    news = sum(item is None for item in items)
    if any(item is Ellipsis for item in items):
        at = next(k for k, item in enumerate(items) if item is Ellipsis)
        missing = len(context.shape) + 2 + news - len(items)
        items[at : at + 1] = [WHOLE] * missing
    items += [WHOLE] * (len(context.shape) + 1 + news - len(items))
    items = [_as_mapping(item) for item in items]
    if not all(item is None or isinstance(item, (int, Mapping)) for item in items):
        raise context.refuse("an index that is no slice", "whole numbers and slices")
    if items[0] != WHOLE:
        raise context.refuse("it slices the batch", "`:` as the first index")
    ranges, shape, sizes = [], [], iter(context.shape)
    for item in items[1:]:
        if item is None:
            shape.append(1)
            continue
        ranges.append(_range(context, item, next(sizes)))
        shape += [] if isinstance(item, int) else [ranges[-1][-1]]
    if shape == [size for _, _, size in ranges]:
        return shapes.add_slice(context, ranges)
    shapes.add_slice(context, ranges, suffix="/slice")
    return shapes.add_reshape(context, shape)


def _as_mapping(item: Any) -> Any:
    """Returns a slice as a saved file has it."""
    if not isinstance(item, slice):
        return item
    return {"start": item.start, "stop": item.stop, "step": item.step}


def _range(context, item: int | Mapping[str, Any], size: int) -> tuple[int, int, int]:
    """Returns (begin, step, number of entries) of an index along an axis."""
    if isinstance(item, int):
        return item % size, 1, 1
    chosen = range(size)[slice(item["start"], item["stop"], item["step"])]
    if chosen.step < 1 or not chosen:
        raise context.refuse(f"the slice {chosen}", "a positive step")
    return chosen.start, chosen.step, len(chosen)


def roll(context, input, shift, axis) -> str:
    """Entries moved round along axes."""
    pairs = [(shift, axis)] if isinstance(shift, int) else zip(shift, axis, strict=True)
    for k, (by, along) in enumerate(pairs):
        along = _behind_the_batch(context, along, len(context.shape) + 1)
        size = context.shape[along - 1]
        by %= size
        if by:
            (x,) = context.inputs
            ends = []
            for begin, count in ((size - by, by), (0, size - by)):
                context.inputs = [x]
                ranges = [(0, 1, n) for n in context.shape]
                ranges[along - 1] = (begin, 1, count)
                ends.append(shapes.add_slice(context, ranges, f"/roll{k}from{begin}"))
            context.inputs = ends
            merging.add_concatenation(context, along, suffix=f"/roll{k}")
    return context.inputs[0]


def tile(context, input, multiples) -> str:
    """The tensor so many times side by side, along each axis."""
    if int(multiples[0]) != 1:
        raise context.refuse("it repeats the batch", "1 for the batch")
    for axis, count in enumerate(map(int, multiples[1:]), 1):
        if count > 1:
            context.inputs = context.inputs * count
            merging.add_concatenation(context, axis, suffix=f"/axis{axis}")
    return context.inputs[0]


def repeat(context, input, repeats, axis=None, name=None) -> str:
    """Each entry so many times in a row, along an axis."""
    if not isinstance(repeats, int) or axis is None:
        raise context.refuse("different repeats", "one number and an axis")
    (axis,) = axes(context, axis)
    shape = list(context.shape)
    apart = [*shape[:axis], 1, *shape[axis:]]
    shapes.add_reshape(context, apart, suffix="/apart")
    context.inputs = context.inputs * repeats
    merging.add_concatenation(context, axis + 1, suffix="/repeated")
    shape[axis - 1] *= repeats
    return shapes.add_reshape(context, shape)


def broadcast_to(context, input, shape) -> str:
    """Axes of size one repeated to a shape, whose first size is the batch's."""
    target = context.call.outputs.shape
    if target[0] is not None or len(target) != len(context.shape) + 1:
        raise context.refuse(f"broadcast to {shape}", "a shape of the same rank")
    counts = [n // m for n, m in zip(target[1:], context.shape, strict=True)]
    return tile(context, input, [1, *counts])


def pad(context, tensor, paddings, mode="CONSTANT", constant_values=0) -> str:
    pairs = [tuple(map(int, pair)) for pair in paddings]
    if mode.upper() != "CONSTANT" or constant_values:
        raise context.refuse(f"padding {mode} by {constant_values}", "zeros")
    if pairs[0] != (0, 0):
        raise context.refuse("it pads the batch", "(0, 0) for the batch")
    return shapes.add_padding(context, pairs[1:])


def depth_to_space(context, input, block_size, data_format="NHWC") -> str:
    return shapes.add_depth_to_space(context, _block(context, block_size, data_format))


def space_to_depth(context, input, block_size, data_format="NHWC") -> str:
    return shapes.add_space_to_depth(context, _block(context, block_size, data_format))


def _block(context, size: int, data_format: str) -> int:
    if data_format != "NHWC":
        raise context.refuse(f"data_format {data_format}", "NHWC")
    return int(size)


def _behind_the_batch(context, axis: int, rank: int) -> int:
    axis = int(axis) % rank
    if axis == 0:
        raise context.refuse("it goes along the batch", "another axis")
    return axis


FUNCTIONS: dict[str, Callable] = {
    "__operators__.getitem": getitem,
    "broadcast_to": broadcast_to,
    "compat.v1.squeeze": squeeze,
    "compat.v1.transpose": transpose,
    "concat": concatenation,
    "expand_dims": expand_dims,
    "nn.depth_to_space": depth_to_space,
    "nn.space_to_depth": space_to_depth,
    "pad": pad,
    "repeat": repeat,
    "reshape": reshape,
    "roll": roll,
    "split": split,
    "squeeze": squeeze,
    "stack": stack,
    "tile": tile,
    "transpose": transpose,
    "unstack": unstack,
}
