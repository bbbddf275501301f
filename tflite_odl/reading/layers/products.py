"""Dense layers."""

from __future__ import annotations

from tflite_odl.reading.layers.activations import activation


def dense(context) -> str:
    layer = context.layer
    context.add(
        "dense",
        (*context.shape[:-1], layer.units),
        weights={"kernel": layer.kernel, "bias": layer.bias},
    )
    return activation(context, layer.activation)


CONVERTERS = {
    "Dense": dense,
}
