"""The one conversion path: a trainable module -> a builtin-only `.tflite`."""

from __future__ import annotations

import re
import tempfile

import tensorflow as tf

from tflite_odl.errors import ExportError
from tflite_odl.signatures import TrainableModule


def convert(module: TrainableModule) -> bytes:
    """Returns the flatbuffer with all of the module's signatures.

    Raises:
      ExportError: an op has no builtin kernel; the converter's list of them is shown.
    """
    with tempfile.TemporaryDirectory(prefix="tflite_odl_") as folder:
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(
            module, folder, signatures=module.functions, options=options
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.experimental_enable_resource_variables = True
        converter.exclude_conversion_metadata = True
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            return converter.convert()
        except Exception as error:  # the converter raises its own bare kinds
            raise ExportError(f"conversion failed: {_reason(str(error))}") from error


def _reason(message: str) -> str:
    """Returns the part of the converter's message that names the ops, or its start."""
    found = re.search(r"TF Select ops: ([^\n]*)", message)
    if found:
        return f"these ops have no builtin kernel: {found.group(1)}"
    return message.strip().splitlines()[0][:500]
