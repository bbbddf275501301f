"""Which keys of a Keras configuration are understood, so that none is ignored silently.

Keras saves a layer, an optimizer, a loss or a schedule as a class name and a dict of
keys. Each key is one of three: read by this package, harmless for a reason given here,
or unknown; and an unknown key must have the value its class gives it by default.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from tflite_odl.errors import ModelError

_CONVOLUTION = (
    "filters kernel_size strides padding data_format dilation_rate activation use_bias"
)
_GROUPED = f"{_CONVOLUTION} groups"
_TRANSPOSED = f"{_CONVOLUTION} output_padding"
_SEPARABLE = f"{_CONVOLUTION} depth_multiplier"
_DEPTHWISE = _SEPARABLE.removeprefix("filters ")
_POOLING = "pool_size strides padding data_format"
_GLOBAL = "data_format keepdims"
_RECURRENT = (
    "units activation use_bias dropout recurrent_dropout return_sequences return_state "
    "go_backwards stateful time_major zero_output_for_mask"
)
_GATED = f"{_RECURRENT} recurrent_activation unit_forget_bias"
_ATTENTION = "use_scale score_mode dropout causal"

# Of each layer that has a converter: the keys that the converter, the weights in the
# file or Keras' own output shapes account for.
LAYERS: Mapping[str, str] = {
    "Activation": "activation",
    "ActivityRegularization": "l1 l2",
    "Add": "",
    "AdditiveAttention": _ATTENTION,
    "Attention": _ATTENTION,
    "AlphaDropout": "rate noise_shape",
    "Average": "",
    "AveragePooling1D": _POOLING,
    "AveragePooling2D": _POOLING,
    "BatchNormalization": "axis momentum epsilon center scale",
    "Bidirectional": "layer merge_mode backward_layer",
    "CategoryEncoding": "num_tokens output_mode",
    "CenterCrop": "height width data_format",
    "Concatenate": "axis",
    "Conv1D": _GROUPED,
    "Conv1DTranspose": _TRANSPOSED,
    "Conv2D": _GROUPED,
    "Conv2DTranspose": _TRANSPOSED,
    "Cropping1D": "cropping",
    "Cropping2D": "cropping data_format",
    "CustomScaleLayer": "scale",
    "Dense": "units activation use_bias",
    "DepthwiseConv1D": _DEPTHWISE,
    "DepthwiseConv2D": _DEPTHWISE,
    "Dot": "axes normalize",
    # num_bins and epsilon only say how the boundaries were found.
    "Discretization": "bin_boundaries num_bins epsilon output_mode",
    "Dropout": "rate noise_shape",
    "ELU": "alpha",
    "EinsumDense": "equation output_shape activation bias_axes",
    "Embedding": "input_dim output_dim mask_zero",
    "Flatten": "data_format",
    "GRU": f"{_GATED} reset_after",
    "GaussianDropout": "rate",
    "GaussianNoise": "stddev",
    "GlobalAveragePooling1D": _GLOBAL,
    "GlobalAveragePooling2D": _GLOBAL,
    "GlobalMaxPooling1D": _GLOBAL,
    "GlobalMaxPooling2D": _GLOBAL,
    "GroupNormalization": "groups axis epsilon center scale",
    "Identity": "",
    "InputLayer": "batch_shape batch_input_shape input_dtype",
    "LSTM": _GATED,
    "LayerNormalization": "axis epsilon center scale",
    "LayerScale": "init_values projection_dim",
    "LeakyReLU": "alpha negative_slope",
    "Masking": "mask_value",
    "MaxPooling1D": _POOLING,
    "MaxPooling2D": _POOLING,
    "Maximum": "",
    "Minimum": "",
    "MultiHeadAttention": "num_heads key_dim value_dim dropout use_bias output_shape "
    "attention_axes query_shape key_shape value_shape",
    "Multiply": "",
    "Normalization": "axis mean variance invert",
    "PReLU": "shared_axes",
    "Permute": "dims",
    "ReLU": "max_value negative_slope threshold",
    "RepeatVector": "n",
    "Rescaling": "scale offset",
    "Reshape": "target_shape",
    "Resizing": "height width interpolation data_format",
    "SeparableConv1D": _SEPARABLE,
    "SeparableConv2D": _SEPARABLE,
    "SimpleRNN": _RECURRENT,
    "SlicingOpLambda": "function",
    "Softmax": "axis",
    "SpatialDropout1D": "rate",
    "SpatialDropout2D": "rate data_format",
    "StochasticDepth": "drop_path_rate",
    "Subtract": "",
    "TFOpLambda": "function",
    "ThresholdedReLU": "theta",
    "TimeDistributed": "layer",
    "UnitNormalization": "axis",
    "UpSampling1D": "size",
    "UpSampling2D": "size data_format interpolation",
    "ZeroPadding1D": "padding data_format",
    "ZeroPadding2D": "padding data_format",
}

# Read in one place for every layer; the last two by `reading.penalties`.
EVERY_LAYER = "trainable dtype activity_regularizer"
EVERY_WEIGHT = ("_regularizer", "_constraint")

HARMLESS: Mapping[str, str] = {
    "name": "a name computes nothing",
    "autocast": "everything is computed in float32",
    "dynamic": "Keras would run the same layer eagerly",
    "batch_input_shape": "repeats the shape of the input",
    "batch_size": "the artifact's own batch size takes its place",
    "seed": "the artifact draws from its own seed",
    "force_generator": "the artifact has a generator of its own",
    "rng_type": "the artifact has a generator of its own",
    "input_length": "repeats the shape of the input",
    "implementation": "another order of the same sums",
    "unroll": "the same steps, in a loop or written out",
    "flash_attention": "the same sums, by a kernel of a GPU",
    "use_cudnn": "the same steps, by a kernel of a GPU",
    "lora_alpha": "of lora_rank, which is refused itself",
    "renorm_clipping": "of renorm, which is refused itself",
    "renorm_momentum": "of renorm, which is refused itself",
    "synchronized": "one device has all rows of a batch",
}
INITIALIZER = "_initializer"  # harmless: the weights are in the file

# Options that a class takes without naming them in its constructor, and what is off.
UNNAMED: Mapping[str, Any] = {"rms_scaling": False}

CHANNELS_LAST = "channels_last"
_KERAS = ("keras.", "tf_keras.", "tflite_odl.")
_NO_DEFAULT = object()
_WRAPPERS = ("Bidirectional", "TimeDistributed")
# The second is that of tf_keras' own, whose property shows that of the layer within.
_ACTIVITY = ("activity_regularizer", "_activity_regularizer")


def check_layer(layer: Any, path: str) -> None:
    """Raises ModelError if a layer's configuration holds what is not understood.

    Args:
      layer: of tf_keras or of Keras 3; of a class without an entry only the keys that
        every layer has are understood.
      path: names the layer in the error.
    """
    kind = type(layer).__name__
    if not type(layer).__module__.startswith(_KERAS):
        raise ModelError(
            f"layer {path!r} ({kind}) is of a class of its own, {type(layer)}: nothing "
            "is known of it but its name; use the layer of Keras"
        )
    known = {*LAYERS.get(kind, "").split(), *EVERY_LAYER.split(), *HARMLESS}
    where = f"layer {path!r} ({kind})"
    if getattr(layer, "data_format", CHANNELS_LAST) != CHANNELS_LAST:
        raise ModelError(
            f"{where}: data_format={layer.data_format!r}, which no kernel on a phone "
            f"takes; make the model again with {CHANNELS_LAST}, in which kernels have "
            "the same shapes"
        )
    if kind in _WRAPPERS and any(getattr(layer, one, None) for one in _ACTIVITY):
        raise ModelError(
            f"{where}: its activity_regularizer is not computed; put an "
            "ActivityRegularization layer behind it instead"
        )
    config = {
        key: value
        for key, value in layer.get_config().items()
        if not key.endswith((*EVERY_WEIGHT, INITIALIZER))
    }
    check(where, config, known, defaults(type(layer)), "leave it at its default")


def check(
    where: str,
    config: Mapping[str, Any],
    known: Collection[str],
    default: Mapping[str, Any],
    instead: str,
) -> None:
    """Raises ModelError for the first key that is unknown and not at its default.

    Args:
      where: names what is configured.
      config: of a Keras object.
      known: keys that are read, or harmless.
      default: of the object's class, as `defaults` returns it.
      instead: what the user can do.
    """
    for key, value in config.items():
        usual = default.get(key, UNNAMED.get(key, _NO_DEFAULT))
        if key in known or same(value, usual):
            continue
        usual = repr(default[key]) if key in default else "not given"
        raise ModelError(
            f"{where}: {key}={value!r} is not understood and would be ignored "
            f"(Keras' default: {usual}); {instead}"
        )


def defaults(kind: type) -> dict[str, Any]:
    """Returns the default of each argument of a class's constructor and its bases'."""
    found: dict[str, Any] = {}
    for base in kind.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        for name, parameter in inspect.signature(base.__init__).parameters.items():
            if parameter.default is not inspect.Parameter.empty:
                found.setdefault(name, parameter.default)
    if found.get("data_format", "") is None:  # then Keras asks its own settings
        found["data_format"] = CHANNELS_LAST
    return found


def same(value: Any, default: Any) -> bool:
    """Whether a configured value is the default: lists and tuples are alike, and so are
    None and False, with which Keras says that an option is off."""
    if value in (None, False) and default in (None, False):
        return True
    if default is _NO_DEFAULT or value is None or default is None:
        return False
    try:
        return bool(np.all(np.asarray(value) == np.asarray(default)))
    except (TypeError, ValueError):
        return False
