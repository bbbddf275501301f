"""A Keras model in, a `.tflite` that learns on the phone out.

`Session` and `bake` need NumPy and LiteRT only; `export`, `methods` and `models` need
TensorFlow and are imported at first use.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "Session": ("tflite_odl.host.session", "Session"),
    "bake": ("tflite_odl.host.bake", "bake"),
    "load": ("tflite_odl.reading.load", "load"),
    "compressed": ("tflite_odl.exporter.compress", "compressed"),
    "export": ("tflite_odl.exporter.export", "export"),
    "methods": ("tflite_odl.methods", None),
    "models": ("tflite_odl.models", None),
    "streams": ("tflite_odl.streams", None),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tflite_odl' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in ("tensorflow", "tf_keras"):
            raise
        raise ModuleNotFoundError(
            f"tflite_odl.{name} needs TensorFlow: pip install 'tflite_odl[export]'",
            name=error.name,
        ) from error
    return getattr(found, attribute) if attribute else found
