"""Models of 16-bit floats, computed in float32 from the weights as they are saved."""

from __future__ import annotations

from typing import Any

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading import rebuild
from tflite_odl.reading.copies import float32_copy

HALF = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


def in_float32(model: Any) -> tuple[Any, list[str]]:
    """Returns (a model whose layers compute in float32, notes for the user).

    Args:
      model: of tf_keras, of which a copy is returned if it has 16-bit layers; or of
        Keras 3, whose layers are then changed themselves.

    Raises:
      ModelError: a layer has another policy, such as a quantized or a float64 one.
    """
    found = _half(model)
    if not found:
        return model, []
    if isinstance(model, tf_keras.Model):
        model = float32_copy(model)
    else:
        _set_float32(model)
    names = ", ".join(sorted(found))
    return model, [f"dtype policy {names}: the artifact computes and learns in float32"]


def _half(model: Any) -> set[str]:
    """Returns the 16-bit policies of the model's layers."""
    found = set()
    for path, layer in rebuild.all_layers(model):
        policy = _policy(layer)
        if policy in HALF:
            found.add(policy)
        elif policy.startswith("float64") or "from_" in policy:
            raise ModelError(
                f"layer {path!r} ({type(layer).__name__}) has the dtype policy "
                f"{policy}: needs float32, float16 or bfloat16, mixed or not"
            )
    return found


def _policy(layer: Any) -> str:
    policy = getattr(layer, "dtype_policy", None) or getattr(layer, "_dtype_policy", "")
    return str(getattr(policy, "name", policy))


def _set_float32(model: Any) -> None:
    """Makes every layer of a Keras 3 model compute in float32."""
    for layer in model._flatten_layers():
        layer.dtype_policy = "float32"
