"""Every activation, as TensorFlow has it and over the whole range of floats."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tests.builtin.single import check
from tflite_odl.builtin.lowering import Gradient, Pass, Rows, Site
from tflite_odl.builtin.plan import plan
from tflite_odl.errors import ModelError
from tflite_odl.reading.copies import float64_copy
from tflite_odl.reading.graph import from_keras
from tflite_odl.reading.keras3_activations import (
    hard_sigmoid_of_keras3,
    hard_silu_of_keras3,
)
from tflite_odl.reading.layers.activations import ACTIVATIONS

LAYERS = {
    **{name: lambda name=name: kl.Activation(name) for name in ACTIVATIONS},
    "elu_alpha": lambda: kl.ELU(0.7),
    "leaky_relu_layer": lambda: kl.LeakyReLU(0.1),
    "relu_1": lambda: kl.ReLU(1.0),
    "relu_threshold": lambda: kl.ReLU(threshold=0.5),
    "relu_all": lambda: kl.ReLU(2.0, negative_slope=0.2, threshold=0.5),
    "relu_slope_limit": lambda: kl.ReLU(3.0, negative_slope=0.2),
    "relu_low_limit": lambda: kl.ReLU(1.0, threshold=2.0),
    "thresholded_relu": lambda: kl.ThresholdedReLU(0.4),
    "softmax_axis": lambda: kl.Softmax(axis=1),
    "prelu": kl.PReLU,
    "hard_sigmoid_of_keras3": lambda: kl.Activation(hard_sigmoid_of_keras3),
    "hard_silu_of_keras3": lambda: kl.Activation(hard_silu_of_keras3),
}
# Those of several nodes, or with weights.
SEVERAL = {"softmax", "softmax_axis", "prelu", "hard_silu_of_keras3"}
# Beyond, a gradient's square overflows float32 and the step is rejected.
LARGEST = 1e18
# A few float32 roundings of the function's own terms, relative to its largest one.
VALUE_TOLERANCE = 2e-6


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize(("shape", "batch"), [((4, 5, 3), 2), ((6,), 1)])
def test_gradients_are_keras_own(layer, shape, batch):
    check(layer(), shape=shape, batch=batch)


@pytest.mark.parametrize("shared", [None, [1, 2], [3]])
def test_prelu_shares_axes(shared):
    check(kl.PReLU(shared_axes=shared), shape=(9, 8, 3))


def lowered(layer, x, dy):
    """Returns (y, dx) of a layer without weights by its lowerings."""
    model = tf_keras.Sequential([kl.Input(x.shape[1:]), layer, kl.Dense(1, name="top")])
    graph = from_keras(model, {"top"})
    chosen = plan(graph)
    nodes = [node for node in graph.nodes if node.layer == layer.name]
    wants = frozenset(node.name for node in graph.nodes)
    run = Pass(True, Rows.of(tf.ones(len(x))), wants)
    kept, y = [], tf.constant(x)
    for node in nodes:
        output = chosen[node.name].forward(Site(node, {}, run), [y])
        y = output.value
        kept.append(output.residual)
    gradient = Gradient.of(tf.constant(dy))
    for node, residual in zip(reversed(nodes), reversed(kept)):
        gradients = chosen[node.name].backward(Site(node, {}, run), residual, gradient)
        (gradient,) = gradients.inputs
    return y.numpy(), gradient.dense().numpy()


@pytest.mark.parametrize("name", sorted(set(LAYERS) - SEVERAL))
def test_values_and_slopes_everywhere(name):
    """Against Keras in float64: near zero, at zero, and up to the largest values."""
    near = np.linspace(-6, 6, 241)
    # Keras takes a selu's side from its rounded output.
    far = np.geomspace(
        1e-6 if name == "selu" else 1e-30, 80 if name == "exponential" else LARGEST, 150
    )
    x = np.concatenate([near, far, -far]).astype(np.float32)[:, None]
    layer = LAYERS[name]()
    y, slope = lowered(layer, x, np.ones_like(x))
    model = tf_keras.Sequential([kl.Input((1,)), LAYERS[name]()])
    exact = tf.constant(x, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(exact)
        expected = float64_copy(model)(exact)
    expected_slope = tape.gradient(expected, exact).numpy()
    expected = expected.numpy()
    assert np.isfinite(y).all() and np.isfinite(slope).all()
    scale = np.maximum(1, np.abs(expected))
    assert (np.abs(y - expected) / scale).max() < VALUE_TOLERANCE
    scale = np.maximum(1, np.abs(expected_slope))
    off = np.abs(slope - expected_slope) / scale
    assert off.max() < VALUE_TOLERANCE, x[off.argmax()]


def test_a_gelu_is_right_in_relation_to_itself_where_it_is_nearly_zero():
    """1 + erf(x) would be rounding there, of which an Adam makes whole updates."""
    x = np.linspace(-12, -2, 201).astype(np.float32)[:, None]
    y, slope = lowered(kl.Activation("gelu"), x, np.ones_like(x))
    below = np.array([[0.5 * math.erfc(-v / math.sqrt(2))] for (v,) in x.astype(float)])
    bell = np.exp(-(x.astype(float) ** 2) / 2) / math.sqrt(2 * math.pi)
    # exp(-72) of an exponent rounded to float32; the slope is a difference of both.
    np.testing.assert_allclose(y, x * below, rtol=2e-5)
    np.testing.assert_allclose(slope, below + x * bell, rtol=2e-5)


@pytest.mark.parametrize("name", ["cube", "relu"])
def test_a_function_of_the_user_is_refused_whatever_its_name(name):
    def cube(x):
        return x**3

    cube.__name__ = name
    top = kl.Dense(2, activation=cube, name="top")
    model = tf_keras.Sequential([kl.Input((3,)), top])
    with pytest.raises(ModelError, match=f"'top' .Dense.*activation '{name}'"):
        from_keras(model, {"top"})


@pytest.mark.parametrize("function", [tf.nn.relu, tf.nn.silu, tf.nn.leaky_relu])
def test_functions_of_tensorflow_are_known(function):
    check(kl.Dense(5, activation=function), shape=(6,))
