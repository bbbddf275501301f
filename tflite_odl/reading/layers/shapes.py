"""Layers that move, repeat or leave out entries without computing."""

from __future__ import annotations

from collections.abc import Sequence


def reshape(context) -> str:
    shape = context.layer.compute_output_shape((None, *context.shape))[1:]
    return add_reshape(context, shape)


def add_reshape(context, shape: Sequence[int], suffix: str = "") -> str:
    return context.add("reshape", shape, {"input": context.shape}, suffix=suffix)


def permute(context) -> str:
    return add_permute(context, context.layer.dims)


def add_permute(context, order: Sequence[int], suffix: str = "") -> str:
    """Adds a transpose; `order` counts axes from 1, the batch being 0."""
    shape = [context.shape[axis - 1] for axis in order]
    return context.add("permute", shape, {"order": tuple(order)}, suffix=suffix)


def zero_padding1d(context) -> str:
    return _zero_pad(context, "zero_pad_1d", (tuple(context.layer.padding),))


def zero_padding2d(context) -> str:
    return _zero_pad(context, "zero_pad", tuple(map(tuple, context.layer.padding)))


def _zero_pad(context, op: str, padding) -> str:
    shape = list(context.shape)
    for axis, pair in enumerate(padding):
        shape[axis] += sum(pair)
    return context.add(op, shape, {"padding": padding, "input": context.shape})


def add_padding(context, pairs: Sequence[tuple[int, int]]) -> str:
    """Adds zeros (before, after) along each axis but the batch."""
    if len(pairs) == 3 and not any(pairs[2]):
        return _zero_pad(context, "zero_pad", tuple(pairs[:2]))
    return _zero_pad(context, "zero_pad_1d", tuple(pairs))


def cropping1d(context) -> str:
    return _crop(context, [context.layer.cropping])


def cropping2d(context) -> str:
    return _crop(context, context.layer.cropping)


def _crop(context, cropping) -> str:
    ranges = [(0, 1, size) for size in context.shape]
    for axis, (before, after) in enumerate(cropping):
        size = context.shape[axis] - before - after
        if size < 1:
            raise context.refuse(f"nothing is left of {context.shape}", "less cropping")
        ranges[axis] = (before, 1, size)
    return add_slice(context, ranges)


def add_slice(context, ranges: Sequence[tuple[int, int, int]], suffix="") -> str:
    """Adds a slice: (begin, step, number of entries) of each axis but the batch."""
    shape = [size for _, _, size in ranges]
    attributes = {"ranges": tuple(ranges), "input": context.shape}
    return context.add("slice", shape, attributes, suffix=suffix)


def repeat_vector(context) -> str:
    return context.add("repeat", (context.layer.n, *context.shape))


def up_sampling1d(context) -> str:
    steps, c = context.shape
    factor = int(context.layer.size)
    add_reshape(context, (steps, 1, c), suffix="/image")
    grown = (steps * factor, 1, c)
    attributes = {"size": (factor, 1)}
    context.add("upsample_nearest", grown, attributes, suffix="/grown")
    return add_reshape(context, (steps * factor, c))


def up_sampling2d(context) -> str:
    kind, size = context.layer.interpolation, tuple(map(int, context.layer.size))
    if kind not in ("nearest", "bilinear"):
        raise context.refuse(f"interpolation {kind!r}", "nearest or bilinear")
    h, w, c = context.shape
    shape = (h * size[0], w * size[1], c)
    return context.add(f"upsample_{kind}", shape, {"size": size})


def identity(context) -> str:
    return context.inputs[0]


def center_crop(context) -> str:
    """The middle; Keras would resize a smaller image."""
    size = (context.layer.height, context.layer.width)
    room = [n - m for n, m in zip(context.shape, size)]
    if min(room) < 0:
        raise context.refuse(f"{size} of {context.shape}", "a crop that is smaller")
    ranges = [(int(left / 2), 1, m) for left, m in zip(room, size)]
    return add_slice(context, [*ranges, (0, 1, context.shape[-1])])


def add_depth_to_space(context, block: int) -> str:
    """Adds [H, W, b b C] -> [H b, W b, C]."""
    h, w, c = context.shape
    c //= block * block
    add_reshape(context, (h, w, block, block, c), suffix="/blocks")
    add_permute(context, (1, 3, 2, 4, 5), suffix="/moved")
    return add_reshape(context, (h * block, w * block, c))


def add_space_to_depth(context, block: int) -> str:
    """Adds [H, W, C] -> [H / b, W / b, b b C]."""
    h, w, c = context.shape
    h, w = h // block, w // block
    add_reshape(context, (h, block, w, block, c), suffix="/blocks")
    add_permute(context, (1, 3, 2, 4, 5), suffix="/moved")
    return add_reshape(context, (h, w, block * block * c))


CONVERTERS = {
    "CenterCrop": center_crop,
    "Cropping1D": cropping1d,
    "Cropping2D": cropping2d,
    "Flatten": reshape,
    "Identity": identity,
    "Permute": permute,
    "RepeatVector": repeat_vector,
    "Reshape": reshape,
    "UpSampling1D": up_sampling1d,
    "UpSampling2D": up_sampling2d,
    "ZeroPadding1D": zero_padding1d,
    "ZeroPadding2D": zero_padding2d,
}
