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


CONVOLUTION = {"filters": 4, "kernel_size": 3}
MADE: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "AlphaDropout": (IMAGE, {"rate": 0.5}),
    "CenterCrop": (IMAGE, {"height": 4, "width": 3}),
    "Resizing": (IMAGE, {"height": 4, "width": 3}),
    "Activation": (VECTOR, {"activation": "relu"}),
    "AveragePooling1D": (SIGNAL, {"pool_size": 2}),
    "AveragePooling2D": (IMAGE, {"pool_size": 2}),
    "BatchNormalization": (IMAGE, {}),
    "Conv1D": (SIGNAL, CONVOLUTION),
    "Conv1DTranspose": (SIGNAL, CONVOLUTION | {"strides": 2}),
    "Conv2D": (IMAGE, CONVOLUTION),
    "Conv2DTranspose": (IMAGE, CONVOLUTION | {"strides": 2}),
    "Dense": (VECTOR, {"units": 3}),
    "DepthwiseConv1D": (SIGNAL, {"kernel_size": 3}),
    "DepthwiseConv2D": (IMAGE, {"kernel_size": 3}),
    "Dropout": (IMAGE, {"rate": 0.5}),
    "GaussianDropout": (IMAGE, {"rate": 0.5}),
    "GaussianNoise": (IMAGE, {"stddev": 0.5}),
    "GroupNormalization": (IMAGE, {"groups": 2}),
    "Permute": (IMAGE, {"dims": (1, 2, 3)}),
    "RepeatVector": (VECTOR, {"n": 3}),
    "Rescaling": (IMAGE, {"scale": 0.5}),
    "Reshape": (IMAGE, {"target_shape": (42, 4)}),
    "SeparableConv1D": (SIGNAL, CONVOLUTION),
    "SeparableConv2D": (IMAGE, CONVOLUTION),
    "SpatialDropout1D": (SIGNAL, {"rate": 0.5}),
    "SpatialDropout2D": (IMAGE, {"rate": 0.5}),
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
    "autocast": False,
    "axis": 1,
    "center": False,
    "antialias": True,
    "bounding_box_format": "xyxy",
    "crop_to_aspect_ratio": True,
    "cropping": 2,
    "data_format": "channels_first",
    "depth_multiplier": 2,
    "dilation_rate": 2,
    "dims": (2, 1, 3),
    "dtype": "float64",
    "dynamic": True,
    "epsilon": 0.5,
    "factor": 0.5,
    "fill_mode": "reflect",
    "fill_value": 0.5,
    "filters": 8,
    "force_generator": True,
    "fused": False,
    "groups": 4,
    "height": 5,
    "interpolation": "bilinear",
    "invert": True,
    "keepdims": True,
    "kernel_size": 2,
    "l1": 0.5,
    "l2": 0.5,
    "lora_alpha": 3,
    "lora_rank": 2,
    "max_value": 6.0,
    "mean": 0.5,
    "momentum": 0.5,
    "n": 5,
    "name": "other",
    "negative_slope": 0.7,
    "noise_shape": (None, 1, 1, 4),
    "offset": 0.25,
    "output_padding": 1,
    "pad_to_aspect_ratio": True,
    "padding": "same",
    "pool_size": 3,
    "quantization_config": keras.quantizers.Int8QuantizationConfig(),
    "rate": 0.25,
    "renorm": True,
    "renorm_clipping": {"rmax": 2.0},
    "renorm_momentum": 0.5,
    "rng_type": "stateless",
    "rms_scaling": True,
    "robust_masking": True,
    "scale": False,
    "seed": 3,
    "shared_axes": [1, 2],
    "size": 3,
    "stddev": 0.25,
    "strides": 3,
    "synchronized": True,
    "target_shape": (4, 42),
    "theta": 0.5,
    "threshold": 0.5,
    "trainable": False,
    "units": 5,
    "use_bias": False,
    "variance": 2.0,
    "width": 5,
    "virtual_batch_size": 2,
}
OF_CLASS: dict[tuple[str, str], Any] = {
    ("GroupNormalization", "axis"): 2,
    ("Rescaling", "scale"): 0.75,
    ("Resizing", "interpolation"): "nearest",
    ("SpatialDropout1D", "noise_shape"): (None, 1, 4),
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
    "DepthwiseConv1D": _BARE,
    "DepthwiseConv2D": _BARE,
    "SeparableConv1D": _BARE,
    "SeparableConv2D": _BARE,
}
# What classes give to their bases, and a user to neither.
INNER = ("conv_op", "pool_mode")
# What Keras 3's own class already gives to its base.
GIVEN = (
    ("ActivityRegularization", "activity_regularizer"),
    ("CenterCrop", "factor"),
    ("Resizing", "factor"),
)


# Their inputs are whole numbers: Keras' own output is compared in test_simplify.py.
CATEGORIES = ("CategoryEncoding", "Discretization")


def classes(api) -> list[type]:
    found = {
        kind: None
        for kind in vars(api.layers).values()
        if inspect.isclass(kind) and issubclass(kind, api.layers.Layer)
    }
    read = CONVERTERS.keys() - set(CATEGORIES)
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
    unused = UNUSED.get(kind.__name__, ())
    return [key for key in found if key not in (*INNER, *given, *unused)]


def make(kind: type, **changed: Any) -> Any:
    _, needed = MADE.get(kind.__name__, (IMAGE, {}))
    return kind(**{"name": "it", **needed, **changed})


def graph_of(kind: type, api, **changed: Any) -> Graph:
    """Returns the graph of a model with the layer between two others."""
    shape, _ = MADE.get(kind.__name__, (IMAGE, {}))
    api.utils.set_random_seed(1)
    inputs = api.layers.Input(shape)
    layer = make(kind, **changed)
    merging = kind.__module__.split(".")[-2] == "merging"
    two = [inputs, api.layers.ReLU()(inputs)]
    y = layer(two) if merging else layer(inputs)
    model = api.Model(inputs, y)
    model, _ = from_keras3(model) if api is keras else in_float32(model)
    learning = {one.name for one in model.layers if one.weights and one.trainable}
    return from_keras(model, learning)


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
    return nodes, weights, terms, len(graph.moving), list(graph.constraints.values())


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        # Salts are of the node's name.
        return sorted((k, plain(v)) for k, v in value.items() if "salt" not in k)
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def other(kind: type, key: str) -> Beside | None:
    for ending, value in ENDINGS.items():
        if key.endswith(ending):
            return Beside(value)
    value = OF_CLASS.get((kind.__name__, key), OTHERS.get(key))
    return value if value is None or isinstance(value, Beside) else Beside(value)


CASES = [
    pytest.param(api, kind, id=f"{name}-{kind.__name__}")
    for name, api in APIS.items()
    for kind in classes(api)
]


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
        try:
            found = graph_of(kind, api, **{**changed.given, key: changed.value})
        except ModelError as error:
            said = (key, "dtype policy", "cannot be run here by its own Keras")
            assert any(part in str(error) for part in said), error
        else:
            if described(found) == usual(**changed.given):
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
