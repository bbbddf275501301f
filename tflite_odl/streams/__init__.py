"""Datasets as streams: `open("digits")`, `open("npz:PATH")`, changed or as they are.

A spec may name changes behind a colon: `digits:rotate=90,invert`. NumPy only (digits
come with scikit-learn); no TensorFlow.
"""

from __future__ import annotations

import os

from tflite_odl.errors import DataError
from tflite_odl.streams.changes import changed, parse
from tflite_odl.streams.dataset import Dataset, Split

__all__ = ["Dataset", "Split", "open"]


def open(spec: str, cache_dir: str | os.PathLike | None = None) -> Dataset:
    """Opens a dataset.

    Args:
      spec: "digits", "digits:rotate=90,invert", "npz:PATH".
      cache_dir: where unpacked streams are kept; default `~/.cache/tflite_odl`, or the
        folder named by the environment variable TFLITE_ODL_CACHE.

    Raises:
      DataError: unknown name, missing or unfitting file, unknown change.
    """
    name, _, rest = spec.partition(":")
    if name == "digits":
        from tflite_odl.streams import digits

        return changed(digits.load(), **parse(rest))
    if name == "npz" and rest:
        from tflite_odl.streams import npz

        return npz.load(rest, cache_dir)
    raise DataError(
        f"dataset {spec!r}: use digits, digits:rotate=90,invert or npz:PATH"
    )
