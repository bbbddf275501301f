"""Layers and TensorFlow functions that move entries or take constants."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tests.builtin.single import TOLERANCE, check, check_model, compare
from tflite_odl.errors import ModelError
from tflite_odl.reading.copies import float64_copy
from tflite_odl.reading.graph import from_keras

IMAGE = [
    kl.Permute((2, 3, 1)),
    kl.Permute((3, 1, 2)),
    kl.Cropping2D(1),
    kl.Cropping2D(((0, 2), (3, 0))),
    kl.ZeroPadding2D(((0, 2), (3, 0))),
    kl.UpSampling2D(2),
    kl.UpSampling2D((3, 1)),
    kl.UpSampling2D((1, 6)),
    kl.UpSampling2D(2, interpolation="bilinear"),
    kl.UpSampling2D((3, 4), interpolation="bilinear"),
    kl.UpSampling2D((1, 2), interpolation="bilinear"),
    kl.Resizing(3, 9),
    kl.Resizing(7, 5, "nearest"),
    kl.CenterCrop(2, 5),
    kl.Identity(),
    kl.Rescaling(1 / 127.5, -1.0),
    kl.Rescaling([1.0, 2.0, 3.0, 4.0], [0.5, 0.0, 1.0, 2.0]),
]
SEQUENCE = [
    kl.Permute((2, 1)),
    kl.Cropping1D(2),
    kl.Cropping1D((0, 1)),
    kl.ZeroPadding1D(2),
    kl.ZeroPadding1D((0, 3)),
    kl.UpSampling1D(3),
]


@pytest.mark.parametrize("layer", IMAGE, ids=lambda layer: layer.name)
def test_of_images(layer):
    check(layer, shape=(5, 6, 3))


@pytest.mark.parametrize("layer", SEQUENCE, ids=lambda layer: layer.name)
def test_of_sequences(layer):
    check(layer, shape=(5, 3), batch=1)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_up_sampling_of_one_pixel(interpolation):
    check(kl.UpSampling2D(3, interpolation=interpolation), shape=(1, 1, 2))


def test_repeat_vector():
    check(kl.RepeatVector(4), shape=(3,))


def test_normalization_adapted_or_given():
    adapted = kl.Normalization()
    adapted.adapt(np.random.default_rng(0).normal(50, 0.1, (64, 5, 6, 4)))
    inputs = kl.Input((5, 6, 4))
    x = kl.Normalization(mean=[1.0, 2, 3, 4], variance=[4.0, 1, 0.2, 2])(
        adapted(kl.Rescaling(0.1, 50)(inputs))
    )
    x = kl.Normalization(mean=2.0, variance=9.0, invert=True)(kl.Dense(3)(x))
    model = tf_keras.Model(inputs, kl.Dense(3)(kl.Flatten()(x)))
    assert max(compare(model).values()) < TOLERANCE
    check_float64_copy(model)


FUNCTIONS = {
    "add": lambda x, y: x + 3.0,
    "add_tensors": lambda x, y: x + y,
    "right_subtract": lambda x, y: 1.0 - x,
    "subtract": lambda x, y: (x - y) - 2,
    "multiply": lambda x, y: 2 * x * y * [1.0, 2.0, 3.0, 4.0],
    "constants": lambda x, y: tf.constant([1.0, 2, 3, 4]) * x - tf.constant(0.5),
    "divide": lambda x, y: x / 7.0,
    "quotient": lambda x, y: x / (tf.abs(y) + 1.0) + 1.0 / (tf.abs(x) + 1.0),
    "means": lambda x, y: tf.reduce_mean(x, [1, 2]) - tf.reduce_max(y, [1, 2]),
    "roots": lambda x, y: tf.sqrt(tf.square(x) + 1.0) + tf.abs(y) ** 3,
    "parts": lambda x, y: tf.stack(tf.split(x, 2, -1) + tf.split(y, [2, 2], -1), 1),
    "hard_swish": lambda x, y: x * tf.nn.relu6(x + 3.0) * (1 / 6),
    "negative": lambda x, y: -x,
    "square": lambda x, y: tf.square(x),
    "maximum": lambda x, y: tf.maximum(x, y) + tf.minimum(y, x),
    "concat": lambda x, y: tf.concat([x, y, x], -1),
    "reshape": lambda x, y: tf.reshape(x, [-1, 6, 20]),
    "transpose": lambda x, y: tf.transpose(x, [0, 3, 1, 2]),
    "softmax": lambda x, y: tf.nn.softmax(x, axis=1),
    "leaky_relu": lambda x, y: tf.nn.leaky_relu(x, alpha=0.3),
    "gelu": lambda x, y: tf.nn.gelu(x, approximate=True),
    "cast": lambda x, y: tf.cast(x, tf.float32),
    "strided": lambda x, y: x[:, ::2],
    "slices": lambda x, y: x[:, 1:4, 1::3, -2:],
    "ellipsis": lambda x, y: x[..., 1:3],
    "index": lambda x, y: x[:, -1, ::4],
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_tensorflow_functions(function):
    inputs = kl.Input((5, 6, 3))
    # Without biases: a softmax takes them away, and their gradients are exact zeros.
    x, y = (kl.Conv2D(4, 1, use_bias=False)(inputs) for _ in "xy")
    output = kl.Dense(3)(kl.Flatten()(function(x, y)))
    model = tf_keras.Model(inputs, output)
    check_model(model)
    check_float64_copy(model)


def test_functions_of_a_saved_model_have_their_arguments_by_name(tmp_path):
    """Keras saves all but the first by the names that TensorFlow has for them."""
    inputs = kl.Input((5, 6, 3))
    x = tf.identity(kl.Conv2D(4, 1)(inputs))
    parts = [
        kl.Flatten()(function(x, x))
        for name, function in FUNCTIONS.items()
        if name not in ("constants", "ellipsis")  # Keras cannot save these
    ]
    model = tf_keras.Model(inputs, kl.Dense(3)(kl.Concatenate()(parts)))
    model.save(tmp_path / "m.keras")
    loaded = tf_keras.models.load_model(tmp_path / "m.keras")
    graph = from_keras(loaded, {layer.name for layer in loaded.layers})
    assert graph.output.shape == (3,)


def check_float64_copy(model):
    """Constants and statistics go along into what artifacts are compared with."""
    x = np.random.default_rng(1).normal(size=(2, *model.input_shape[1:]))
    output = model(x.astype(np.float32)).numpy()
    # Keras' float32 sums are off by the size of their terms, not of what is left.
    off = 1e-5 * max(1.0, np.abs(output).max())
    np.testing.assert_allclose(float64_copy(model)(x), output, rtol=1e-4, atol=off)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: tf.cumsum(x, 1), "math.cumsum.* use a Keras layer"),
        (lambda x: x[:, ::-1], "a positive step"),
        (lambda x: x[1:], "slices the batch"),
        (lambda x: tf.reshape(x, [-1, 2]), "the batch first"),
        (lambda x: x + tf.ones([5, 1, 1]), "constant of shape"),
        (
            kl.Lambda(lambda x: x * 2, name="twice"),
            "'twice' .Lambda.*operators on tensors",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(function, message):
    inputs = kl.Input((4,))
    model = tf_keras.Model(inputs, function(kl.Dense(4, name="below")(inputs)))
    with pytest.raises(ModelError, match=message):
        from_keras(model, {"below"})
