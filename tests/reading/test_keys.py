"""No key of a layer is ignored: change it, and the graph changes or it is refused.

Every class of `tf_keras.layers` and of `keras.layers` that is read, with every key that
its constructors take and that its configuration has.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

from tflite_odl.builtin.graph import Graph
from tflite_odl.errors import ModelError
from tflite_odl.reading import understood
from tflite_odl.reading.freeze import trainable_layers
from tflite_odl.reading.graph import from_keras
from tflite_odl.reading.keras3 import from_keras3
from tflite_odl.reading.layers import CONVERTERS
from tflite_odl.reading.precision import in_float32

APIS = {"tf_keras": tf_keras, "keras3": keras}
IMAGE, SIGNAL, VECTOR = (7, 6, 4), (7, 4), (4,)
# Of a class: the shape it reads, and the keys that it needs or that make others matter.
LAYER = (tf_keras.layers.Layer, keras.layers.Layer)


class Beside:
    """A changed value, and what is given in both cases."""

    def __init__(self, value: Any, **given: Any) -> None:
        self.value, self.given = value, given


class Inside:
    """A layer within another layer, of the same Keras as that."""

    def __init__(self, kind: str, **given: Any) -> None:
        self.kind, self.given = kind, {"name": "inside", "units": 3, **given}

    def of(self, api) -> Any:
        return getattr(api.layers, self.kind)(**self.given)


CONVOLUTION = {"filters": 4, "kernel_size": 3}
EINSUM = {"equation": "abc,cd->abd", "output_shape": (None, 5), "bias_axes": "d"}
MADE: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "AdditiveAttention": (SIGNAL, {}),
    "AlphaDropout": (IMAGE, {"rate": 0.5}),
    "CenterCrop": (IMAGE, {"height": 4, "width": 3}),
    "Resizing": (IMAGE, {"height": 4, "width": 3}),
    "Activation": (VECTOR, {"activation": "relu"}),
    "Attention": (SIGNAL, {}),
    "AveragePooling1D": (SIGNAL, {"pool_size": 2}),
    "AveragePooling2D": (IMAGE, {"pool_size": 2}),
    "BatchNormalization": (IMAGE, {}),
    "Bidirectional": (SIGNAL, {"layer": Inside("LSTM", return_sequences=True)}),
    "Conv1D": (SIGNAL, CONVOLUTION),
    "Conv1DTranspose": (SIGNAL, CONVOLUTION | {"strides": 2}),
    "Conv2D": (IMAGE, CONVOLUTION),
    "Conv2DTranspose": (IMAGE, CONVOLUTION | {"strides": 2}),
    "Dense": (VECTOR, {"units": 3}),
    "DepthwiseConv1D": (SIGNAL, {"kernel_size": 3}),
    "DepthwiseConv2D": (IMAGE, {"kernel_size": 3}),
    "Dot": (SIGNAL, {"axes": 2}),
    "Dropout": (IMAGE, {"rate": 0.5}),
    "EinsumDense": (SIGNAL, EINSUM),
    "Embedding": (VECTOR, {"input_dim": 6, "output_dim": 3}),
    "GRU": (SIGNAL, {"units": 3}),
    "GaussianDropout": (IMAGE, {"rate": 0.5}),
    "GaussianNoise": (IMAGE, {"stddev": 0.5}),
    "GroupNormalization": (IMAGE, {"groups": 2}),
    "LSTM": (SIGNAL, {"units": 3}),
    "Masking": (SIGNAL, {}),
    "MultiHeadAttention": (SIGNAL, {"num_heads": 2, "key_dim": 3}),
    "Permute": (IMAGE, {"dims": (1, 2, 3)}),
    "RepeatVector": (VECTOR, {"n": 3}),
    "Rescaling": (IMAGE, {"scale": 0.5}),
    "Reshape": (IMAGE, {"target_shape": (42, 4)}),
    "SeparableConv1D": (SIGNAL, CONVOLUTION),
    "SeparableConv2D": (IMAGE, CONVOLUTION),
    "SimpleRNN": (SIGNAL, {"units": 3}),
    "SpatialDropout1D": (SIGNAL, {"rate": 0.5}),
    "SpatialDropout2D": (IMAGE, {"rate": 0.5}),
    "TimeDistributed": (SIGNAL, {"layer": Inside("Dense")}),
    "UpSampling2D": (IMAGE, {"size": 2}),
    **dict.fromkeys(
        (
            "Cropping1D",
            "GlobalAveragePooling1D",
            "GlobalMaxPooling1D",
            "MaxPooling1D",
            "UpSampling1D",
            "ZeroPadding1D",
        ),
        (SIGNAL, {}),
    ),
}
# Of a key: another value than the one it has without being given, or in `MADE`.
OTHERS: dict[str, Any] = {
    "activation": "tanh",
    "activity_regularizer": "l2",
    "adjustment": lambda shape: (1.0, 0.0),
    "alpha": 0.7,
    "antialias": True,
    "attention_axes": (2,),
    "autocast": False,
    "axes": 1,
    "axis": 1,
    "backward_layer": Inside(
        "LSTM", return_sequences=True, go_backwards=True, name="back", activation="relu"
    ),
    "bias_axes": Beside(None),
    "bounding_box_format": "xyxy",
    "center": False,
    "crop_to_aspect_ratio": True,
    "cropping": 2,
    "data_format": "channels_first",
    "depth_multiplier": 2,
    "dilation_rate": 2,
    "dims": (2, 1, 3),
    "dropout": 0.5,
    "dtype": "float64",
    "dynamic": True,
    "epsilon": 0.5,
    "equation": "abc,dc->abd",
    "factor": 0.5,
    "fill_mode": "reflect",
    "fill_value": 0.5,
    "filters": 8,
    "flash_attention": True,
    "force_generator": True,
    "fused": False,
    "go_backwards": True,
    "gptq_unpacked_column_size": 3,
    "groups": 4,
    "height": 5,
    "implementation": 1,
    "input_dim": 8,
    "input_length": 4,
    "interpolation": "bilinear",
    "invert": True,
    "keepdims": True,
    "kernel_size": 2,
    "key_dim": 5,
    "l1": 0.5,
    "l2": 0.5,
    "layer": Inside("GRU", return_sequences=True),
    "lora_alpha": 3,
    "lora_rank": 2,
    "mask_value": 0.5,
    "mask_zero": True,
    "max_value": 6.0,
    "mean": 0.5,
    "merge_mode": "sum",
    "momentum": 0.5,
    "n": 5,
    "name": "other",
    "negative_slope": 0.7,
    "noise_shape": (None, 1, 1, 4),
    "normalize": True,
    "num_heads": 3,
    "offset": 0.25,
    "output_dim": 5,
    "output_padding": 1,
    "output_shape": (None, 6),
    "pad_to_aspect_ratio": True,
    "padding": "same",
    "pool_size": 3,
    "quantization_config": keras.quantizers.Int8QuantizationConfig(),
    "rate": 0.25,
    "recurrent_activation": "tanh",
    "recurrent_dropout": 0.5,
    "renorm": True,
    "renorm_clipping": {"rmax": 2.0},
    "renorm_momentum": 0.5,
    "reset_after": False,
    "return_sequences": True,
    "return_state": True,
    "rms_scaling": True,
    "rng_type": "stateless",
    "robust_masking": True,
    "scale": False,
    "score_mode": "concat",
    "seed": 3,
    "shared_axes": [1, 2],
    "size": 3,
    "sliding_window": 2,
    "softmax_robust_masking": True,
    "sparse": True,
    "stateful": True,
    "stddev": 0.25,
    "strides": 3,
    "synchronized": True,
    "target_shape": (4, 42),
    "theta": 0.5,
    "threshold": 0.5,
    "time_major": True,
    "trainable": False,
    "unit_forget_bias": False,
    "units": 5,
    "unroll": True,
    "use_bias": False,
    "use_cudnn": False,
    "use_gate": True,
    "use_scale": True,
    "value_dim": 5,
    "variance": 2.0,
    "virtual_batch_size": 2,
    "width": 5,
    "zero_output_for_mask": Beside(True, return_sequences=True),
}
WEIGHTS_OF_BOTH = [np.full(n, 0.5) for n in 2 * ((4, 12), (3, 12), (12,))]
OF_CLASS: dict[tuple[str, str], Any] = {
    ("AdditiveAttention", "use_scale"): False,
    ("Bidirectional", "weights"): WEIGHTS_OF_BOTH,
    ("Embedding", "weights"): [np.full((6, 3), 0.5)],
    ("GRU", "activation"): "relu",
    ("GroupNormalization", "axis"): 2,
    ("LSTM", "activation"): "relu",
    ("MultiHeadAttention", "output_shape"): 5,
    ("Rescaling", "scale"): 0.75,
    ("Resizing", "interpolation"): "nearest",
    ("SimpleRNN", "activation"): "relu",
    ("SpatialDropout1D", "noise_shape"): (None, 1, 4),
    ("TimeDistributed", "layer"): Inside("Dense", activation="relu"),
    ("UnitNormalization", "axis"): (1, 2),
    ("ZeroPadding1D", "padding"): 2,
    ("ZeroPadding2D", "padding"): 2,
    ("Conv1DTranspose", "dilation_rate"): Beside(2, strides=1),
    ("Conv2DTranspose", "dilation_rate"): Beside(2, strides=1),
    ("Normalization", "mean"): Beside(0.5, mean=0.0, variance=1.0),
    ("Normalization", "variance"): Beside(2.0, mean=0.0, variance=1.0),
}
ENDINGS = {
    "_initializer": {"class_name": "Constant", "config": {"value": 0.75}},
    "_regularizer": "l2",
    "_constraint": "non_neg",
}
# What a base takes and Keras makes nothing of, in classes of kernels by other names.
_BARE = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")
UNUSED = {
    "AdditiveAttention": ("score_mode",),
    "Bidirectional": ("weights",),
    "DepthwiseConv1D": _BARE,
    "DepthwiseConv2D": _BARE,
    "SeparableConv1D": _BARE,
    "SeparableConv2D": _BARE,
}
# What the class of one Keras takes and does not even save.
UNUSED_IN = {
    ("keras3", "SimpleRNN"): ("activity_regularizer",),
    ("tf_keras", "EinsumDense"): ("activity_regularizer",),
}
# What classes give to their bases, and a user to neither.
INNER = ("conv_op", "pool_mode", "query_shape", "key_shape", "value_shape")
# What Keras 3's own class already gives to its base.
GIVEN = (
    ("ActivityRegularization", "activity_regularizer"),
    ("CenterCrop", "factor"),
    ("Resizing", "factor"),
)


# Set by Bidirectional itself; the second is refused by Keras 3 (tf_keras turns both).
OF_BOTH = {
    "tf_keras": ("zero_output_for_mask",),
    "keras3": ("zero_output_for_mask", "go_backwards"),
}
# Their input has a mask here.
RECURRENT = ("Bidirectional", "GRU", "LSTM", "SimpleRNN")
# Their inputs are whole numbers: Keras' own output is compared in test_simplify.py.
CATEGORIES = ("CategoryEncoding", "Discretization")


def classes(api) -> list[type]:
    found = {
        kind: None
        for kind in vars(api.layers).values()
        if inspect.isclass(kind) and issubclass(kind, api.layers.Layer)
    }
    read = {*CONVERTERS, "TimeDistributed"} - set(CATEGORIES)
    return sorted((k for k in found if k.__name__ in read), key=str)


def keys(kind: type) -> list[str]:
    """Returns what the constructors of a class and its bases take, and what its
    configuration holds."""
    found: dict[str, None] = {}
    own = inspect.signature(kind.__init__).parameters
    for base in kind.__mro__:
        if "__init__" not in vars(base) or not issubclass(base, LAYER):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        for one in parameters:
            named = one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
            # What a base needs is given to it by the class.
            if named and (one.default is not one.empty or one.name in own):
                found[one.name] = None
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            break
    found.pop("self", None)
    found |= dict.fromkeys(make(kind).get_config())
    given = [key for name, key in GIVEN if name == kind.__name__]
    api = "keras3" if issubclass(kind, keras.layers.Layer) else "tf_keras"
    unused = UNUSED.get(kind.__name__, UNUSED_IN.get((api, kind.__name__), ()))
    return [key for key in found if key not in (*INNER, *given, *unused)]


def make(kind: type, **changed: Any) -> Any:
    _, needed = MADE.get(kind.__name__, (IMAGE, {}))
    api = APIS["keras3" if kind.__module__.startswith("keras.") else "tf_keras"]
    given = {"name": "it", **needed, **changed}
    return kind(
        **{k: v.of(api) if isinstance(v, Inside) else v for k, v in given.items()}
    )


def graph_of(kind: type, api, **changed: Any) -> Graph:
    """Returns the graph of a model with the layer between two others."""
    shape, _ = MADE.get(kind.__name__, (IMAGE, {}))
    api.utils.set_random_seed(1)
    whole = {"dtype": "int32"} if kind.__name__ == "Embedding" else {}
    stateful = {"batch_size": 2} if is_stateful(changed) else {}
    inputs = api.layers.Input(shape, **whole, **stateful)
    y = call(make(kind, **changed), inputs, api)
    model = api.Model(inputs, y)
    model, _ = from_keras3(model) if api is keras else in_float32(model)
    learns = any(one.trainable_weights for one in model.layers)
    learning = trainable_layers(model, "as_saved") if learns else set()
    return from_keras(model, learning)


def is_stateful(changed: dict[str, Any]) -> bool:
    """Whether Keras asks for the size of the batch."""
    inside = changed.get("layer")
    inside = inside.given if isinstance(inside, Inside) else {}
    return bool(changed.get("stateful") or inside.get("stateful"))


def call(layer: Any, inputs: Any, api) -> Any:
    """Returns a layer's output, of two inputs or of a masked one where it needs it."""
    name, module = type(layer).__name__, type(layer).__module__
    if name in RECURRENT:
        return layer(api.layers.Masking(name="masking")(inputs))
    if name == "Embedding":
        y = layer(inputs)
        # One that reads a mask, if there is one; Keras has none for sparse tensors.
        sparse = getattr(layer, "sparse", False)
        return y if sparse else api.layers.SimpleRNN(2, name="reader")(y)
    two = [inputs, api.layers.ReLU(name="second")(inputs)]
    if name == "MultiHeadAttention":
        return layer(*two)
    several = module.split(".")[-2] == "merging" or name.endswith("Attention")
    return layer(two if several else inputs)


def described(graph: Graph) -> Any:
    """Returns all of a graph that makes a difference, comparable."""
    names = {node.name: k for k, node in enumerate(graph.nodes)}
    nodes = [
        (n.op, [names[i] for i in n.inputs], n.shape, sorted(n.weights), n.trainable)
        + (plain(dict(n.attributes)),)
        for n in graph.nodes
    ]
    weights = [plain(value) for value in graph.weights.values()]
    terms = [plain(list(t.values())) for t in (graph.penalties, graph.activities)]
    bounds = list(graph.constraints.values())
    return nodes, weights, terms, graph.frozen_penalty, len(graph.moving), bounds


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        # Salts are of the node's name.
        return sorted((k, plain(v)) for k, v in value.items() if "salt" not in str(k))
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def other(kind: type, key: str) -> Beside | None:
    for ending, value in ENDINGS.items():
        if key.endswith(ending):
            return Beside(value)
    value = OF_CLASS.get((kind.__name__, key), OTHERS.get(key))
    return value if value is None or isinstance(value, Beside) else Beside(value)


# Long graphs, which the other Keras' class is read by the same code as.
LONG = (("tf_keras", "LSTM"), ("keras3", "GRU"), ("tf_keras", "Bidirectional"))
CASES = [
    pytest.param(
        api,
        kind,
        id=f"{name}-{kind.__name__}",
        marks=[pytest.mark.slow] * ((name, kind.__name__) in LONG),
    )
    for name, api in APIS.items()
    for kind in classes(api)
]


# What says that a key is refused where it is not its name: Keras 3's MultiHeadAttention
# reads attention_axes in some of its paths only, and is compared with that of tf_keras.
SAID = {
    ("MultiHeadAttention", "attention_axes"): "computes something else in tf_keras",
}


def is_ignored(kind: type, key: str, usual: Any, found: Any) -> bool:
    """Whether a graph is as usual; a refusal must be for the key.

    Args:
      kind: of the layer.
      key: that was changed.
      usual: makes what describes the graph without the change.
      found: makes the graph with the change.
    """
    try:
        changed = described(found())
    except ModelError as error:
        said = (key, "dtype policy", "cannot be run here by its own Keras")
        said += (SAID.get((kind.__name__, key), key),)
        assert any(part in str(error) for part in said), f"{key}: {error}"
        return False
    return changed == usual()


@pytest.mark.parametrize(("api", "kind"), CASES)
def test_no_key_is_ignored(api, kind):
    usual = functools.cache(lambda **given: described(graph_of(kind, api, **given)))
    weights = bool(graph_of(kind, api).weights)
    ignored = []
    for key in keys(kind):
        # Without weights nothing learns in any case.
        if key in understood.HARMLESS or (key == "trainable" and not weights):
            continue
        changed = other(kind, key)
        assert changed is not None, f"say another value of {key} in OTHERS"
        given = {**changed.given, key: changed.value}
        found = functools.partial(graph_of, kind, api, **given)
        if is_ignored(kind, key, functools.partial(usual, **changed.given), found):
            ignored.append(key)
    assert not ignored


INSIDE = [
    pytest.param(
        api,
        outer,
        inner,
        id=f"{name}-{outer}-{inner}",
        marks=[pytest.mark.slow] * (inner in ("GRU", "LSTM")),
    )
    for name, api in APIS.items()
    for outer, inners in (
        ("Bidirectional", ("GRU", "LSTM", "SimpleRNN")),
        ("TimeDistributed", ("Dense",)),
    )
    for inner in inners
]


@pytest.mark.parametrize(("api", "outer", "inner"), INSIDE)
def test_no_key_of_a_layer_inside_another_is_ignored(api, outer, inner):
    outer, kind = getattr(api.layers, outer), getattr(api.layers, inner)

    def graph(**given: Any) -> Graph:
        return graph_of(outer, api, layer=Inside(inner, **given))

    usual = functools.cache(lambda **given: described(graph(**given)))
    ignored = []
    for key in keys(kind):
        # Keras gives both ways' layers a direction, and zeros behind a mask.
        of_both = OF_BOTH["keras3" if api is keras else "tf_keras"]
        both = outer is api.layers.Bidirectional and key in of_both
        if key in understood.HARMLESS or both:
            continue
        changed = other(kind, key)
        found = functools.partial(graph, **{**changed.given, key: changed.value})
        if is_ignored(kind, key, functools.partial(usual, **changed.given), found):
            ignored.append(key)
    assert not ignored


def test_an_output_mode_that_is_not_built_is_refused():
    kl = tf_keras.layers
    inputs = kl.Input((3,))
    x = kl.Dense(3, name="learns")(inputs)
    bins = kl.Discretization([0.0, 1.0], output_mode="count")(x)
    model = tf_keras.Model(inputs, kl.Dense(2, name="top")(bins))
    with pytest.raises(ModelError, match="output_mode 'count'"):
        from_keras(model, {"learns", "top"})
