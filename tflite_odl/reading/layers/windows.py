"""Windows that slide over images and sequences, as attributes of a node."""

from __future__ import annotations

from collections.abc import Sequence

from tflite_odl.builtin.space import same_padding
from tflite_odl.builtin.window import Window


def window(
    context,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    size: Sequence[int] | None = None,
) -> tuple[dict, tuple[int, ...]]:
    """Returns (attributes, output size) of the layer's window over [(H,) W, C].

    A sequence is an image one pixel high in the attributes, not in the output size.
    `size` is that of what the window slides over, if it is not the layer's input.
    """
    size = context.shape[:-1] if size is None else size
    rank = len(size)
    lead = (1,) * (2 - rank)
    size, kernel, strides, dilation = (
        (*lead, *map(int, values)) for values in (size, kernel, strides, dilation)
    )
    axes = zip(size, kernel, strides, dilation, strict=True)
    attributes = {
        "size": size,
        "kernel": kernel,
        "strides": strides,
        "padding": tuple(padding(context.layer.padding, *axis) for axis in axes),
        "dilation": dilation,
    }
    out = Window(**attributes).out
    if min(out) < 1:
        raise context.refuse(
            f"kernel {kernel[-rank:]} on an input of {size[-rank:]}", "a larger input"
        )
    return attributes, out[-rank:]


def padding(
    name: str, size: int, kernel: int, stride: int, dilation: int
) -> tuple[int, int]:
    """Returns the zeros before and after, along one axis."""
    reach = (kernel - 1) * dilation + 1
    if name == "same":
        return same_padding(size, reach, stride)
    return (reach - 1, 0) if name == "causal" else (0, 0)
