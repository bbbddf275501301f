"""What a user can do about a layer that cannot learn here: a way for each class."""

from __future__ import annotations

_FREEZE = (
    "freeze it and every layer before it (--trainable says what learns), so that it is "
    "carried as it is"
)
# What speaks against a layer that keeps its state, and what to use.
STATEFUL = (
    "stateful=True would keep a state from batch to batch",
    "stateful=False, and windows that hold what is needed",
)
_BEFORE = "apply it to the data before they reach the model, which takes numbers"
_VOLUMES = f"fold one of its three axes into the channels and use {{}}, or {_FREEZE}"
_LOOKUPS = (
    "HashedCrossing",
    "Hashing",
    "IntegerLookup",
    "StringLookup",
    "TextVectorization",
)
_WAYS = {
    **dict.fromkeys(_LOOKUPS, _BEFORE),
    "AveragePooling3D": _VOLUMES.format("AveragePooling2D"),
    "Conv3D": _VOLUMES.format("Conv2D"),
    "Conv3DTranspose": _VOLUMES.format("Conv2DTranspose"),
    "ConvLSTM1D": f"use Conv1D on the steps side by side as channels, or {_FREEZE}",
    "ConvLSTM2D": f"use Conv2D on the steps side by side as channels, or {_FREEZE}",
    "Cropping3D": _VOLUMES.format("Cropping2D"),
    "GlobalAveragePooling3D": _VOLUMES.format("GlobalAveragePooling2D"),
    "GlobalMaxPooling3D": _VOLUMES.format("GlobalMaxPooling2D"),
    "Lambda": "use operators on tensors (x * 2, x[:, 1:]) or functions of TensorFlow",
    "LocallyConnected1D": f"use Conv1D, or {_FREEZE}",
    "LocallyConnected2D": f"use Conv2D, or {_FREEZE}",
    "MaxPooling3D": _VOLUMES.format("MaxPooling2D"),
    "SpatialDropout3D": _VOLUMES.format("SpatialDropout2D"),
    "UpSampling3D": _VOLUMES.format("UpSampling2D"),
    "ZeroPadding3D": _VOLUMES.format("ZeroPadding2D"),
}


def is_lookup(kind: str) -> bool:
    """Whether layers of a class take text, or are looked up before a model is run."""
    return kind in _LOOKUPS


def way(kind: str) -> str:
    """Returns what to do about a layer of a class, by the name of the class."""
    return _WAYS.get(kind, _FREEZE)
