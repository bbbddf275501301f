"""Students as quantized graphs, against Keras with quantized layers in float64."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tests.builtin.single import randomize
from tflite_odl.builtin import tape
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.plan import candidates, plan
from tflite_odl.builtin.quantizers.rewrite import quantized
from tflite_odl.errors import ModelError
from tflite_odl.methods.distill.student import named, parse, schemes, tied_maxima
from tflite_odl.proof.references.quantized import QuantizedModel
from tflite_odl.reading import rebuild
from tflite_odl.reading.copies import float64_copy
from tflite_odl.reading.graph import from_keras

# Two float32 evaluations of sums of up to a few hundred terms; no choice is near.
TOLERANCE = 2e-5


def image_net(shape=(8, 6, 3)) -> tf_keras.Model:
    """Relus of a layer, fused, pooled, padded; a shortcut; a depthwise layer.

    No maximum is pooled behind a binary layer: of its few values several tie.
    """
    inputs = kl.Input(shape)
    x = kl.Conv2D(6, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = kl.ReLU(name="relu")(kl.BatchNormalization(name="norm")(x))
    y = kl.Conv2D(6, 3, padding="same", activation="relu", name="conv")(x)
    x = kl.Add(name="add")([kl.BatchNormalization(name="norm2")(y), x])
    x = kl.ReLU(name="relu2")(x)
    x = kl.ZeroPadding2D(1)(kl.AveragePooling2D(2)(x))
    x = kl.Conv2D(4, 3, strides=2, use_bias=False, name="strided")(x)
    x = kl.ReLU()(kl.BatchNormalization(name="norm3")(x))
    x = kl.DepthwiseConv2D(2, padding="same", depth_multiplier=2, name="depth")(x)
    x = kl.Flatten()(kl.ReLU()(kl.Conv2DTranspose(3, 2, 2, name="up")(x)))
    return tf_keras.Model(inputs, kl.Dense(4, name="head")(x))


def dense_net() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            kl.Input((5,)),
            kl.Dense(9, use_bias=False, name="first"),
            kl.BatchNormalization(name="norm"),
            kl.Dense(8, activation="relu", name="middle"),
            kl.Dense(7, activation="relu6", name="middle2"),
            kl.Dense(3, name="head"),
        ]
    )


def kinds_of(model) -> dict[str, str]:
    return {path: type(layer).__name__ for path, layer in rebuild.all_layers(model)}


def student(model, spec, clipping="trained"):
    """Returns (quantized graph, reference of the same weights)."""
    graph = from_keras(model, set(kinds_of(model)))
    found = schemes(graph, kinds_of(model), spec, clipping)
    rewritten = quantized(graph, found)
    return rewritten, QuantizedModel(float64_copy(model), rewritten, found)


def errors(model, spec, clipping="trained", choices=None, limit=0.0) -> dict:
    """Returns {what: error relative to its largest entry}, of output and gradients."""
    randomize(model)
    graph, keras = student(model, spec, clipping)
    rng = np.random.default_rng(5)
    x = rng.normal(size=(4, *model.input_shape[1:])).astype(np.float32)
    run = Pass(True, Rows.of(tf.ones(4)), graph.differentiated())
    weights = {name: tf.constant(graph.weights[name]) for name in graph.stateful}
    record = tape.forward(
        graph, plan(graph, choices), weights, [tf.constant(x)], run, limit
    )
    dy = rng.normal(size=record.output.shape).astype(np.float32)
    ours = record.backward(tf.constant(dy))
    watched = [keras.named[name] for name in graph.trainable]
    with tf.GradientTape() as gradients:
        gradients.watch(watched)
        y = keras.model(tf.constant(x, tf.float64), training=True)
    theirs = gradients.gradient(y, watched, tf.constant(dy, tf.float64))
    pairs = {"output": (record.output, y)}
    pairs |= {n: (ours[n], g) for n, g in zip(graph.trainable, theirs, strict=True)}
    margins = keras.choices()
    assert np.abs(margins).min(initial=1.0) > 1e-5, "draw another batch"
    floor = 1e-6 * np.abs(dy).max()
    return {
        name: float(np.abs(np.subtract(a, b)).max() / max(np.abs(b).max(), floor))
        for name, (a, b) in pairs.items()
    }


SPECS = ("binary", "ternary", "int2", "int4", "int8", "conv:w1a1,depth:w4a8,up:w1a2")


@pytest.mark.parametrize("spec", SPECS)
def test_convolutions_are_keras(spec):
    found = errors(image_net(), spec)
    assert max(found.values()) < TOLERANCE, found


@pytest.mark.parametrize("spec", ["binary", "int4", "Dense:w1a32", "middle2:wta1"])
@pytest.mark.parametrize("clipping", ["trained", "deviations", "one", "largest"])
def test_dense_layers_are_keras(spec, clipping):
    found = errors(dense_net(), spec, clipping)
    assert max(found.values()) < TOLERANCE, found


def test_binary_weights_without_a_bound():
    found = errors(dense_net(), "binary", "none")
    assert max(found.values()) < TOLERANCE, found


def test_every_lowering_takes_quantized_kernels():
    model = image_net()
    graph, _ = student(model, "int4")
    for name in ("conv", "strided", "depth", "up"):
        for lowering in candidates(graph, graph.node(name)):
            found = errors(model, "int4", choices={name: lowering.name})
            assert max(found.values()) < TOLERANCE, (name, lowering.name, found)


def test_chunks_take_quantized_kernels():
    found = errors(image_net(), "binary", limit=700.0)
    assert max(found.values()) < TOLERANCE, found


def test_signs_are_taken_of_what_relus_read():
    graph, _ = student(image_net(), "binary")
    assert graph.node("conv/quantized").inputs == ("norm",)
    assert graph.node("depth/quantized").inputs == ("norm3",)
    pooled = graph.node(graph.node("strided/quantized").inputs[0])
    assert graph.node(pooled.inputs[0]).op == "add"
    assert "stem/quantized" not in {node.name for node in graph.nodes}


def test_values_that_are_never_negative_have_no_signs():
    inputs = kl.Input((4, 4, 2))
    x = kl.Conv2D(3, 1, activation="relu", name="first")(inputs)
    y = kl.Conv2D(3, 1, activation="sigmoid", name="second")(x)
    x = kl.Conv2D(3, 1, name="binary")(kl.Add(name="sum")([x, y]))
    model = tf_keras.Model(inputs, kl.Dense(2, name="head")(kl.Flatten()(x)))
    with pytest.raises(ModelError, match="'binary' reads .*of layer 'sum'.* 2 bits"):
        student(model, "binary:w1a1")
    graph, _ = student(model, "binary:w1a2")
    assert not graph.node("binary/quantized").attributes["signed"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("w1a1", "quantizer '' is not known"),
        ("Dense:w9a1", "quantizer 'w9a1' is not known"),
        ("Conv2D:w1a1", "names 'Conv2D'.*no class of one; layers: .*'middle'"),
        ("midle:w1a1", "names 'midle'"),
    ],
)
def test_what_is_unknown_is_named(spec, message):
    with pytest.raises(ModelError, match=message):
        student(dense_net(), spec)


def test_maxima_of_sums_of_signs_are_named():
    """Not those of real sums, nor where a shortcut adds real values to the sums."""
    inputs = kl.Input((8, 8, 2))
    x = kl.ReLU()(kl.BatchNormalization()(kl.Conv2D(4, 3, name="stem")(inputs)))
    x = kl.MaxPooling2D(2, name="real")(x)
    y = kl.BatchNormalization()(kl.Conv2D(4, 3, padding="same", name="binary")(x))
    y = kl.MaxPooling2D(2, 1, "same", name="tied")(kl.ReLU()(y))
    z = kl.BatchNormalization()(kl.Conv2D(4, 3, padding="same", name="binary2")(y))
    z = kl.GlobalMaxPooling2D(name="carried")(kl.Add()([kl.ReLU()(z), x]))
    model = tf_keras.Model(inputs, kl.Dense(3, name="head")(z))
    assert tied_maxima(student(model, "binary")[0]) == ["tied"]
    assert tied_maxima(student(model, "Conv2D:w1a32")[0]) == []


@pytest.mark.parametrize("text", ["w1a1", "wta32", "w32a4", "w4a8", "w2a32"])
def test_a_quantizer_is_called_as_it_was_asked_for(text):
    assert named(parse(text, "trained")) == text


def test_ends_stay_real_unless_they_are_named():
    graph, _ = student(dense_net(), "Dense:w1a1")
    found = [n.name for n in graph.nodes if "quantizer" in n.attributes]
    assert found == ["middle", "middle2"]
    with pytest.warns(UserWarning, match="'head' is the first or the last"):
        graph, _ = student(dense_net(), "head:w8a8")
    assert [n.name for n in graph.nodes if "quantizer" in n.attributes] == ["head"]
    small = tf_keras.Sequential([kl.Input((3,)), kl.Dense(2, name="only")])
    with pytest.raises(ModelError, match="quantizes no layer"):
        student(small, "binary")
