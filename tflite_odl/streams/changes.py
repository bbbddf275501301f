"""Changes to a whole dataset: a user whose world differs from the training data."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np

from tflite_odl.errors import DataError
from tflite_odl.streams.dataset import Dataset, Split


def parse(text: str) -> dict[str, Any]:
    """Returns the arguments of `changed` from "rotate=90,invert"."""
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name == "invert" and not value:
            found[name] = True
        elif name == "rotate" and re.fullmatch("-?[0-9]{1,9}", value):
            found[name] = int(value)
        else:
            raise DataError(f"change {part!r}: use rotate=90 (180, 270) or invert")
    return found


def changed(dataset: Dataset, rotate: int = 0, invert: bool = False) -> Dataset:
    """Returns the dataset with every image rotated and inverted.

    Args:
      dataset: of images [N, H, W, C].
      rotate: degrees counter-clockwise, a multiple of 90.
      invert: bright becomes dark, over the dataset's own range of values.
    """
    if not rotate and not invert:
        return dataset
    if dataset.train.x.ndim != 4 or rotate % 90:
        raise DataError(
            f"{dataset.name}: rotate needs images [N, H, W, C] and a multiple of 90 "
            f"degrees, got {list(dataset.train.x.shape)} and {rotate}"
        )
    top = dataset.train.x.max()

    def change(split: Split) -> Split:
        x = np.rot90(split.x, rotate // 90, axes=(1, 2))
        x = top - x if invert else x
        return dataclasses.replace(split, x=np.ascontiguousarray(x))

    name = f"{dataset.name}:rotate={rotate}" + (",invert" if invert else "")
    return dataclasses.replace(
        dataset, name=name, train=change(dataset.train), test=change(dataset.test)
    )
