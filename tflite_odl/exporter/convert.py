"""The one conversion path: a trainable module -> a builtin-only `.tflite`."""

from __future__ import annotations

import re
import tempfile

import tensorflow as tf
from tensorflow.lite.python.convert import convert_saved_model

from tflite_odl.errors import ExportError
from tflite_odl.signatures import TrainableModule

# As `tf.lite.TFLiteConverter` has it for models with fake-quants, signatures in float.
INT8 = {
    "inference_type": tf.int8,
    "inference_input_type": tf.float32,
    "disable_infer_tensor_range": True,
}


def convert(module: TrainableModule, int8: bool = False) -> bytes:
    """Returns the flatbuffer with all of the module's signatures.

    The converter is called as `tf.lite.TFLiteConverter` calls it, which would first
    load the SavedModel twice, for its debug information, and then share equal buffers,
    as `compact` does: two thirds of the time of converting.

    Args:
      module: a tf.Module with `functions`, {name: concrete function}.
      int8: whether ops between fake-quants become int8 ones. Ranges of other constants
        are not guessed: weights without a fake-quant stay float.

    Raises:
      ExportError: an op has no builtin kernel; the converter's list of them is shown.
    """
    with tempfile.TemporaryDirectory(prefix="tflite_odl_") as folder:
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(
            module, folder, signatures=module.functions, options=options
        )
        try:
            return convert_saved_model(
                saved_model_dir=folder,
                saved_model_version=1,
                saved_model_tags={tf.saved_model.SERVING},
                saved_model_exported_names=list(module.functions),
                target_ops={tf.lite.OpsSet.TFLITE_BUILTINS},
                enable_tflite_resource_variables=True,
                **(INT8 if int8 else {}),
            )
        except Exception as error:  # the converter raises its own bare kinds
            raise ExportError(f"conversion failed: {_reason(str(error))}") from error


# A place in the converter's message: an op under a layer's name scope.
_PLACE = re.compile(r'"(?:forward|backward)/([^"@]+)["@]')
_OPS = re.compile(r"(?:TF Select|Custom) ops: ([^\n]*)")


def _reason(message: str) -> str:
    """Returns the part of the converter's message that names the ops, or its start."""
    # What a layer is carried as stands in a scope "layer" of its own.
    places = {place.split("/layer")[0] for place in _PLACE.findall(message)}
    where = f" (layer {', '.join(sorted(places))})" if places else ""
    found = _OPS.search(message)
    if found:
        return f"these ops have no builtin kernel: {found.group(1).strip()}{where}"
    return message.strip().splitlines()[0][:500] + where
