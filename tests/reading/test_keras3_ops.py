"""Keras 3's operations on tensors: values as Keras 3 has them, gradients as TensorFlow,
and all of them in one artifact, which LiteRT runs."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras import layers, ops
from keras.src.applications.convnext import LayerScale, StochasticDepth
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

import tflite_odl as odl
from tests.builtin.single import check_model
from tests.reading import nets
from tflite_odl.builtin import tape
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.plan import plan
from tflite_odl.errors import ModelError
from tflite_odl.proof.cache import Cache
from tflite_odl.reading import compare, keras3
from tflite_odl.reading.graph import from_keras


def away(x):
    """Returns positive values, where roots, logarithms and quotients are tame."""
    return ops.abs(x) + 0.5


OPERATIONS = {
    "affine": lambda x: x * (1 / 127.5) - 1.0,
    "from_a_constant": lambda x: 1.0 - x / 3.0,
    "through_a_constant": lambda x: 2.0 / away(x),
    "constants": lambda x: x * np.arange(3.0) + np.float64(2),
    "sign": lambda x: -abs(x),
    "square": lambda x: x**2,
    "root": lambda x: away(x) ** 0.5,
    "negative_power": lambda x: away(x) ** -1.5,
    "odd_power": lambda x: away(x) ** 2.3,
    "quotient": lambda x: x / away(x),
    "shares": lambda x: x / ops.sum(away(x), axis=-1, keepdims=True),
    "slice": lambda x: x[:, 1:4, ::2],
    "last": lambda x: x[..., -1],
    "new_axis": lambda x: x[:, None, :, 1],
    "mean": lambda x: ops.mean(x, axis=(1, 2)),
    "mean_of_rows": lambda x: ops.mean(x, axis=1),
    "mean_of_channels": lambda x: ops.mean(x, axis=-1, keepdims=True),
    "sum": lambda x: ops.sum(x, axis=[1, 3]),
    "maximum_of": lambda x: ops.max(x, axis=1),
    "minimum_of": lambda x: ops.min(x, axis=(1, 2), keepdims=True),
    "variance": lambda x: ops.var(x, axis=-1),
    "deviation": lambda x: ops.std(x, axis=(1, 2), keepdims=True),
    "logarithm": lambda x: ops.log(away(x)) + ops.log1p(abs(x)),
    "roots": lambda x: ops.sqrt(away(x)) + ops.rsqrt(away(x)),
    "inverse": lambda x: ops.reciprocal(away(x)),
    "waves": lambda x: ops.sin(x) * ops.cos(x),
    "erf": ops.erf,
    "exp": ops.exp,
    "clip": lambda x: ops.clip(x, -0.3, 0.4),
    "lowest": lambda x: ops.maximum(x, 0.1),
    "highest": lambda x: ops.minimum(0.1, x),
    "maximum": lambda x: ops.maximum(x, -x),
    "hard": lambda x: ops.hard_silu(x) + ops.hard_sigmoid(x),
    "gelu": lambda x: ops.gelu(x) + ops.gelu(x, approximate=False),
    "elu": lambda x: ops.elu(x, 0.7) + ops.leaky_relu(x, 0.3) + ops.selu(x),
    "smooth": lambda x: ops.silu(x) + ops.softplus(x) + ops.tanh(x) * ops.sigmoid(x),
    "relus": lambda x: ops.relu6(x) + ops.softsign(x),
    "relu_of_activations": lambda x: keras.activations.relu(x, 0.1, 0.8, 0.2),
    "softmax": lambda x: ops.softmax(x, axis=1),
    "reshape": lambda x: ops.reshape(x, (-1, 20, 3)),
    "transpose": lambda x: ops.transpose(x, (0, 3, 1, 2)),
    "swapped": lambda x: ops.swapaxes(x, 1, -1),
    "moved": lambda x: ops.moveaxis(x, -1, 1),
    "squeezed": lambda x: ops.squeeze(ops.expand_dims(x, 2), 2),
    "joined": lambda x: ops.concatenate([x, x * 2], axis=2),
    "stacked": lambda x: ops.stack([x, x * 2], axis=1),
    "halves": lambda x: ops.split(x, 2, axis=2)[1] * 2 + ops.split(x, 2, axis=2)[0],
    "cut": lambda x: ops.split(x, [1, 3], axis=2)[1],
    "unstacked": lambda x: ops.unstack(x, axis=3)[1] - ops.unstack(x, axis=3)[2],
    "rolled": lambda x: ops.roll(x, (1, -2), axis=(1, 2)),
    "repeated": lambda x: ops.repeat(x, 3, axis=2),
    "tiled": lambda x: ops.tile(x, (1, 2, 1, 1)),
    "padded": lambda x: ops.pad(x, ((0, 0), (1, 0), (0, 2), (0, 0))),
    "padded_channels": lambda x: ops.pad(x, ((0, 0), (0, 0), (0, 0), (1, 2))),
    "taken": lambda x: ops.take(x, 1, axis=2),
    "norm": lambda x: ops.norm(x, axis=-1),
    "unit": lambda x: ops.normalize(x, axis=-1),
    "pooled": lambda x: ops.max_pool(x, 2) + ops.average_pool(x, 2, 2),
    "resized": lambda x: ops.image.resize(x, (3, 7), interpolation="bicubic"),
    "to_space": lambda x: ops.depth_to_space(ops.tile(x, (1, 1, 1, 4)), 2),
    "to_depth": lambda x: ops.space_to_depth(x[:, :4], 2),
    "layer_scale": LayerScale(0.3, 3),
    "scaled_sum": lambda x: CustomScaleLayer(0.2)([x, x * x]),
}


@pytest.fixture(autouse=True)
def _fresh_names():
    tf_keras.backend.clear_session()
    keras.utils.clear_session()


def around(operation):
    """Returns a model with layers below and above, so that gradients pass through."""
    x = keras.Input((5, 4, 3))
    y = operation(layers.Dense(3, use_bias=False)(x))
    return keras.Model(x, layers.Dense(3)(layers.Flatten()(y)))


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_operation(operation):
    """The values are compared in `from_keras3`, the gradients here."""
    twin, _ = keras3.from_keras3(around(operation))
    check_model(twin)


@pytest.mark.parametrize("tie", [ops.maximum, lambda x, c: ops.maximum(c, x)])
def test_the_first_of_equal_ones_has_the_gradient(tie):
    twin, _ = keras3.from_keras3(around(lambda x: tie(ops.relu(x), 0.0)))
    check_model(twin)


def test_every_operation_in_litert(tmp_path):
    """One artifact of operations that stay of the order of 1, proven by the gate."""
    x = keras.Input((5, 4, 3))
    below = layers.Dense(3, use_bias=False)(x)
    parts = [layers.Flatten()(operation(below)) for operation in OPERATIONS.values()]
    parts.append(StochasticDepth(0.25)(parts[0]))
    joined = layers.Concatenate()([ops.tanh(part) for part in parts])
    model = nets.randomize(keras.Model(x, layers.Dense(3)(joined)))
    twin, _ = keras3.from_keras3(model)
    done = odl.export(
        odl.methods.Finetune(twin, loss="sparse_cross_entropy"), 4, cache=Cache(None)
    )
    assert "Flex" not in str(done.manifest.ops)


@pytest.mark.parametrize("operation", [ops.log, ops.sqrt, lambda x: 1.0 / (x * x)])
def test_rows_that_do_not_count_spoil_nothing(operation):
    """They are zeros, where these functions or their slopes are infinite."""
    x = keras.Input((4,))
    y = layers.Dense(3)(operation(layers.Dense(4, use_bias=False)(x) ** 2))
    twin, _ = keras3.from_keras3(keras.Model(x, layers.Dense(2)(y)))
    graph = from_keras(twin, {layer.name for layer in twin.layers})
    mask = tf.constant([1.0, 0.0])
    run = Pass(True, Rows.of(mask), graph.differentiated())
    rows = tf.constant([[0.5, 1.0, 2.0, 1.0], [0.0] * 4])
    weights = {name: tf.constant(graph.weights[name]) for name in graph.stateful}
    record = tape.forward(graph, plan(graph), weights, [rows], run, 0)
    found = record.backward(tf.constant([[1.0, 1.0], [0.0, 0.0]]))
    assert all(np.isfinite(gradient).all() for gradient in found.values())


def test_whole_numbers_become_floats():
    x = keras.Input((4, 3), dtype="uint8")
    y = ops.mean(x, axis=1) + layers.Flatten()(x)[:, :3] / 255
    twin, _ = keras3.from_keras3(keras.Model(x, layers.Dense(2)(y)))
    rows = np.random.default_rng(0).integers(0, 256, (2, 4, 3)).astype(np.uint8)
    assert twin(rows).dtype == tf.float32


def test_what_is_defined_for_positive_inputs_only_is_compared_on_those():
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(2)(ops.log(x)))
    twin, _ = keras3.from_keras3(model)
    twin.layers[-1].set_weights([np.ones((4, 2)), np.zeros(2)])
    with pytest.raises(ModelError, match=r"layer 'dense' \(Dense\)"):
        compare.check_same(model, twin)


def test_rows_dropped_by_an_application_of_tf_keras(tmp_path):
    """Its layer draws by itself, where the reference could not follow."""
    from tf_keras.src.applications.convnext import StochasticDepth as Own

    x = tf_keras.Input((6,))
    y = tf_keras.layers.Dense(6, activation="relu")(x)
    y = tf_keras.layers.Add()([x, Own(0.5)(y)])
    model = tf_keras.Model(x, tf_keras.layers.Dense(2)(y))
    odl.export(
        odl.methods.Finetune(model, loss="sparse_cross_entropy"), 4, cache=Cache(None)
    )


def test_inputs_by_name():
    b, a = keras.Input((3,), name="b"), keras.Input((2,), name="a")
    y = layers.Dense(2)(layers.Concatenate()([b, a]))
    twin, _ = keras3.from_keras3(keras.Model({"b": b, "a": a}, y))
    assert [tensor.name for tensor in twin.inputs] == ["a", "b"]


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (lambda x: ops.sum(x, axis=0)[None, ..., 0, 0], "over the batch"),
        (lambda x: x[:, ::-1], "positive step"),
        (lambda x: ops.power(away(x), x), "exponent"),
    ],
)
def test_what_has_no_lowering_is_refused_by_name(operation, message):
    x = keras.Input((5, 4, 3))
    y = operation(layers.Dense(3, use_bias=False)(x))
    twin, _ = keras3.from_keras3(keras.Model(x, y))
    with pytest.raises(ModelError, match=message):
        from_keras(twin, {layer.name for layer in twin.layers})


def test_an_application_with_operators_of_its_own():
    """MobileNetV3 is written with `x + 3`, `x * (1 / 6)` and Keras 3's hard swish."""
    model = keras.applications.MobileNetV3Small(
        (32, 32, 3), alpha=0.25, weights=None, include_top=False, minimalistic=False
    )
    twin, _ = keras3.from_keras3(model)
    assert from_keras(twin, ()).output.shape == (1, 1, 144)
