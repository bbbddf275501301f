"""Layers that are left out before a model is trained, each with a note to the user.

Augmentation is the identity at inference, and an artifact trains on the rows that it is
given. A spectral normalization is the layer within it, whose kernel is normalized as it
is saved.
"""

from __future__ import annotations

from typing import Any

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading import rebuild
from tflite_odl.reading.copies import copy_input, copy_layer

_OF_THE_IMAGE = (
    "Brightness Contrast ColorDegeneration ColorJitter ElasticTransform Erasing Flip "
    "GaussianBlur Grayscale Height Hue Invert Perspective Posterization Rotation "
    "Saturation Sharpness Shear Translation Width Zoom"
)
AUGMENTATION = (
    *(f"Random{name}" for name in _OF_THE_IMAGE.split()),
    "AugMix",
    "CutMix",
    "MixUp",
    "RandAugment",
)
SPECTRAL = "SpectralNormalization"


def simplified(model: tf_keras.Model) -> tuple[tf_keras.Model, list[str]]:
    """Returns (the model without what is left out, notes for the user).

    Args:
      model: functional or sequential; returned itself if there is nothing of it.
    """
    notes = [note(layer, path) for path, layer in rebuild.all_layers(model)]
    if not any(notes):
        return model, []

    def make(layer: Any, path: str) -> Any:
        if is_augmentation(layer):
            return identity(layer)
        return without_norm(layer) if _is_spectral(layer) else copy_layer(layer)

    def fill(old: Any, new: tf_keras.layers.Layer, path: str) -> None:
        rebuild.copy_weights(within(old), new, path)

    return rebuild.rebuild(model, make, copy_input, fill), [n for n in notes if n]


def note(layer: Any, path: str) -> str:
    """Returns what the user should know of a layer that is left out, else nothing.

    Raises:
      ModelError: the layer augments, and is no identity at inference.
    """
    kind = type(layer).__name__
    if kind == "RandomCrop":
        raise ModelError(
            f"layer {path!r} (RandomCrop) crops at inference too: use CenterCrop"
        )
    if is_augmentation(layer):
        return (
            f"layer {path!r} ({kind}): augmentation is left out, train takes rows as "
            "they are given"
        )
    if _is_spectral(layer):
        return (
            f"layer {path!r} ({kind}): its kernel is normalized as it is saved, and "
            "learns without being normalized anew"
        )
    return ""


def is_augmentation(layer: Any) -> bool:
    """Whether a layer of either Keras only augments, a pipeline of such included."""
    kind = type(layer).__name__
    if kind == "Pipeline":
        return all(map(is_augmentation, layer.layers))
    return kind in AUGMENTATION


def identity(layer: Any) -> tf_keras.layers.Layer:
    """Returns the layer that takes the place of an augmentation."""
    return tf_keras.layers.Identity(name=layer.name)


def within(layer: Any) -> Any:
    """Returns the layer within a spectral normalization, any other as it is."""
    return layer.layer if _is_spectral(layer) else layer


def without_norm(layer: Any) -> tf_keras.layers.Layer:
    """Returns the layer within a spectral normalization anew, under its name.

    Its weights are not there yet: they come with the first call.
    """
    config = {**layer.layer.get_config(), "name": layer.name}
    return type(layer.layer).from_config(config)


def _is_spectral(layer: Any) -> bool:
    return type(layer).__name__ == SPECTRAL
