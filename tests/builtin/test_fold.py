"""Folded graphs give what Keras gives in inference, in float64; the formulas alone."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tests import nets
from tflite_odl import models
from tflite_odl.builtin.fold import folded
from tflite_odl.builtin.serving import serve
from tflite_odl.folding import Formula, Step
from tflite_odl.reading.copies import float64_copy
from tflite_odl.reading.graph import from_keras

SHAPE = (6, 6, 4)


def _sequential(*layers, shape=SHAPE):
    return lambda: tf_keras.Sequential([kl.Input(shape), *layers])


def _shared():
    inputs, conv = kl.Input(SHAPE), kl.Conv2D(4, 3, padding="same")
    one = kl.BatchNormalization()(conv(inputs))
    two = kl.BatchNormalization()(conv(one))
    return tf_keras.Model(inputs, kl.Add()([one, two]))


def _read_twice():
    inputs = kl.Input(SHAPE)
    x = kl.Conv2D(4, 3, padding="same")(inputs)
    return tf_keras.Model(inputs, kl.Add()([x, kl.BatchNormalization()(x)]))


norm = kl.BatchNormalization
# {case: (net, ops that must be left of norms)}
PATTERNS = {
    "convolution": (_sequential(kl.Conv2D(5, 3, use_bias=False), norm()), 0),
    "biased": (_sequential(kl.Conv2D(5, 3, strides=2), norm(epsilon=0.1)), 0),
    "grouped": (_sequential(kl.Conv2D(6, 3, groups=2), norm(scale=False)), 0),
    "depthwise": (_sequential(kl.DepthwiseConv2D(3), norm(center=False)), 0),
    "multiplied": (_sequential(kl.DepthwiseConv2D(3, depth_multiplier=2), norm()), 0),
    "uneven": (_sequential(kl.DepthwiseConv2D((2, 1)), norm()), 0),
    "separable": (_sequential(kl.SeparableConv2D(5, 3), norm()), 0),
    "dense": (_sequential(kl.Flatten(), kl.Dense(5), norm()), 0),
    "dense on images": (_sequential(kl.Dense(5), norm()), 0),
    "transposed": (_sequential(kl.Conv2DTranspose(5, 3, 2), norm()), 0),
    "one dimension": (
        _sequential(kl.Conv1D(5, 3, padding="causal"), norm(), shape=(8, 3)),
        0,
    ),
    "two norms": (_sequential(kl.Conv2D(5, 3), norm(), norm()), 0),
    "rescaled": (_sequential(kl.Conv2D(5, 3), kl.Rescaling(2.0, 0.5), norm()), 0),
    "norm first": (_sequential(norm(), kl.ReLU(), kl.Conv2D(5, 3)), 1),
    "norm behind relu": (_sequential(kl.Conv2D(5, 3), kl.ReLU(), norm()), 1),
    "pooled first": (_sequential(kl.Conv2D(5, 3), kl.MaxPooling2D(2), norm()), 1),
    "read twice": (_read_twice, 1),
    "shared": (_shared, 0),
}


def randomize(model: tf_keras.Model, seed: int = 0) -> tf_keras.Model:
    """Gives every weight random values, variances positive ones."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        value = rng.normal(size=variable.shape)
        if "variance" in variable.name:
            value = rng.uniform(0.2, 2.0, variable.shape)
        elif "gamma" in variable.name:
            value = rng.uniform(0.5, 1.5, variable.shape)
        elif "kernel" in variable.name:
            value /= np.sqrt(np.prod(variable.shape[:-1]) or 1)
        variable.assign(value.astype(np.float32))
    return model


def graph_of(model):
    layers = [layer.name for layer in model.layers if layer.weights]
    return from_keras(model, layers)


def check(model: tf_keras.Model, rtol: float) -> None:
    found = folded(graph_of(model))
    rng = np.random.default_rng(1)
    x = [rng.normal(size=(3, *i.shape[1:])).astype(np.float32) for i in model.inputs]
    one = [tf.constant(value) for value in x]
    y = tf.function(lambda *inputs: serve(found.graph, inputs))(*one).numpy()
    wide = [value.astype(np.float64) for value in x]
    copy = float64_copy(model)
    expected = copy(wide if len(wide) > 1 else wide[0], training=False).numpy()
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=0, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns(name):
    net, left = PATTERNS[name]
    tf_keras.utils.set_random_seed(0)
    model = randomize(net())
    ops = [node.op for node in folded(graph_of(model)).graph.nodes]
    assert "batch_norm" not in ops and ops.count("scale_shift") == left
    check(model, 2e-6)  # some tens of float32 roundings


@pytest.mark.parametrize(
    "net",
    [
        nets.conv_net,
        nets.gated_net,
        nets.noisy_net,
        nets.window_net,
        nets.sequence_net,
        nets.two_inputs,
        nets.mlp,
    ],
)
def test_nets_of_every_kind_of_layer(net):
    check(randomize(net()), 1e-5)  # a few hundred float32 roundings


SMALL = {
    "densenet": {"depth": 1},
    "mnasnet": {"depth": 0.3},
    "mobilenet_v1": {"depth": 1},
    "mobilenet_v2": {"depth": 0.3},
    "resnet8": {},
    "shufflenet": {"depth": 1},
    "squeezenet": {"depth": 1},
    "keyword": {},
    "inertial": {},
}
SHAPES = {"inertial": (32, 6), "keyword": (16, 10, 1)}


@pytest.mark.parametrize("name", SMALL)
def test_backbones(name):
    shape = SHAPES.get(name, (32, 32, 3))
    check(randomize(models.backbone(name, shape, 7, 0, **SMALL[name])), 1e-5)


def test_formulas_are_those_of_the_paper_and_keep_their_dtype():
    rng = np.random.default_rng(0)
    sources = {"k": rng.normal(size=(3, 3, 2, 4)), "b": rng.normal(size=4)}
    sources |= {n: rng.uniform(0.5, 2, 4) for n in ("gamma", "beta", "mean", "var")}
    step = Step("gamma", "beta", "mean", "var", 1e-3)
    kernel = Formula("kernel", "k", "b", (-1,), 4, (step,))
    bias = dataclasses.replace(kernel, part="bias")
    factor = sources["gamma"] / np.sqrt(sources["var"] + 1e-3)
    assert np.array_equal(kernel.value(sources), sources["k"] * factor)
    shifted = (sources["b"] - sources["mean"]) * factor + sources["beta"]
    assert np.array_equal(bias.value(sources), shifted)
    assert kernel.sources == ("k", "gamma", "var")
    assert set(bias.sources) == {"b", "gamma", "beta", "mean", "var"}
    single = {name: value.astype(np.float32) for name, value in sources.items()}
    assert kernel.value(single).dtype == bias.value(single).dtype == np.float32
    assert Formula.from_json(bias.to_json()) == bias


def test_a_layer_used_twice_is_one_weight_unless_its_norms_differ():
    inputs, conv = kl.Input(SHAPE), kl.Conv2D(4, 3, padding="same", name="conv")
    plain = tf_keras.Model(inputs, conv(conv(inputs)))
    assert set(folded(graph_of(plain)).formulas) == {"conv_kernel", "conv_bias"}
    kernels = [f for f in folded(graph_of(_shared())).formulas.values()]
    assert len({f.kernel for f in kernels}) == 1 and len(kernels) == 4
