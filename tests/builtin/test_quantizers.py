"""Quantizers against nested loops and TensorFlow's custom gradients, and in LiteRT."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.exporter.runtimes import RUNTIMES
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import Gradient, Pass, Rows, Site
from tflite_odl.builtin.quantizers import clipping
from tflite_odl.builtin.quantizers import weights as quantizer
from tflite_odl.builtin.quantizers.activations import FAMILIES
from tflite_odl.builtin.quantizers.steps import above, sign
from tflite_odl.builtin.quantizers.weights import WeightQuantizer
from tflite_odl.errors import ModelError
from tflite_odl.exporter.convert import convert
from tflite_odl.exporter.partitions import partitions

KINDS = {
    "binary": WeightQuantizer("binary"),
    "ternary": WeightQuantizer("ternary"),
    "2 bits": WeightQuantizer("rounded", 2),
    "4 bits": WeightQuantizer("rounded", 4),
    "8 bits": WeightQuantizer("rounded", 8),
}
# Sums of a few dozen float32 terms, and products of them.
TOLERANCE = 2e-6
AWKWARD = np.float32(
    [0.0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38, 1e-30, -1e-30, 0.5, -0.5, 1, -1]
    + [np.nextafter(np.float32(1), np.float32(2)), -1.5, 2.5, -3e38, 3e38]
)


def node(op: str, quantized: WeightQuantizer | None = None, **attributes) -> Node:
    if quantized:
        attributes[quantizer.QUANTIZER] = quantized
    return Node("layer", op, ("x",), (3,), "layer", attributes, trainable=True)


def kernel(shape, seed=0):
    """Weights in which every rule has something to do: a zero, some beyond the bound,
    and none within a rounding of a level's edge."""
    rng = np.random.default_rng(seed)
    w = rng.normal(0, 0.5, shape).astype(np.float32)
    w.flat[3] = 0.0
    c = clipping.initial(w, range(w.ndim - 1)).reshape(shape[-1:]) * np.float32(0.5)
    return w, c, rng.normal(size=shape).astype(np.float32)


def half_even(x: float) -> float:
    low = math.floor(x)
    return low if x - low < 0.5 or (x - low == 0.5 and low % 2 == 0) else low + 1


def channel_by_loops(kind: str, bits: int, w, c: float, g):
    """Returns (quantized, dW, dc) of one channel, its weights a list of floats."""
    clipped = [min(max(v, -c), c) for v in w]
    size = sum(abs(v) for v in clipped) / len(w)
    if kind == "binary":
        scale = size
        q = [scale if v >= 0 else -scale for v in clipped]
    elif kind == "ternary":
        kept = [abs(v) for v in clipped if abs(v) > 0.7 * size]
        scale = sum(kept) / len(kept)
        q = [math.copysign(scale, v) if abs(v) > 0.7 * size else 0.0 for v in clipped]
    else:
        n = 2 ** (bits - 1) - 1
        scale = 1.0
        q = [c * half_even(v / c * n) / n for v in clipped]
    dw = [scale * d if abs(v) <= c else 0.0 for v, d in zip(w, g)]
    dc = sum(scale * d * math.copysign(1, v) for v, d in zip(w, g) if abs(v) > c)
    return q, dw, dc


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_of_nested_loops(kind):
    w, c, g = kernel((3, 2, 4, 5))
    found = KINDS[kind]
    layer = node("conv2d", found)
    weights = {"kernel": tf.constant(w), quantizer.CLIP: tf.constant(c)}
    q = quantizer.forward(layer, weights)
    assert set(q) == {"kernel"}
    gradients = quantizer.backward(layer, weights, {"kernel": tf.constant(g)})
    for channel in range(5):
        flat = [a[..., channel].ravel().astype(float).tolist() for a in (w, g)]
        bound = float(c[channel])
        expected = channel_by_loops(found.kind, found.bits, flat[0], bound, flat[1])
        got = (
            q["kernel"].numpy()[..., channel].ravel(),
            gradients["kernel"].numpy()[..., channel].ravel(),
            gradients[quantizer.CLIP].numpy()[channel],
        )
        for ours, theirs in zip(got, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, TOLERANCE, TOLERANCE)


@tf.custom_gradient
def straight_through(x, value):
    """Returns value; its gradient is x's."""
    return value, lambda g: (g, None)


@tf.custom_gradient
def bounded(w, c):
    """PWC as TensorFlow's own ops have it."""

    def backward(g):
        inside = tf.abs(w) <= c
        pull = tf.where(inside, 0.0, g * tf.sign(w))
        axes = list(range(w.shape.rank - c.shape.rank))
        return tf.where(inside, g, 0.0), tf.reduce_sum(pull, axes)

    return tf.clip_by_value(w, -c, c), backward


def by_tensorflow(found: WeightQuantizer, w, c):
    axes = list(range(w.shape.rank - 1))
    clipped = bounded(w, c)
    size = tf.reduce_mean(tf.abs(clipped), axes)
    signs = tf.where(clipped >= 0, tf.ones_like(w), -tf.ones_like(w))
    if found.kind == "binary":
        return straight_through(clipped, signs) * tf.stop_gradient(size)
    if found.kind == "ternary":
        kept = tf.cast(tf.abs(clipped) > 0.7 * size, w.dtype)
        total = tf.reduce_sum(kept * tf.abs(clipped), axes)
        scale = tf.stop_gradient(total / tf.reduce_sum(kept, axes))
        return straight_through(clipped, signs * kept) * scale
    n = 2 ** (found.bits - 1) - 1
    held = tf.stop_gradient(c)
    return straight_through(clipped, held * tf.round(clipped / held * n) / n)


@pytest.mark.parametrize("shape", [(7, 4), (3, 3, 2, 4)])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_tensorflows_in_float64(kind, shape):
    w, c, g = kernel(shape, 1)
    layer = node("dense" if len(shape) == 2 else "conv2d", KINDS[kind])
    weights = {"kernel": tf.constant(w), quantizer.CLIP: tf.constant(c)}
    exact = [tf.constant(v, tf.float64) for v in (w, c)]
    with tf.GradientTape() as tape:
        tape.watch(exact)
        q = by_tensorflow(KINDS[kind], *exact)
    expected = tape.gradient(q, exact, tf.constant(g, tf.float64))
    ours = quantizer.backward(layer, weights, {"kernel": tf.constant(g)})
    pairs = [(quantizer.forward(layer, weights)["kernel"], q)]
    pairs += zip((ours["kernel"], ours[quantizer.CLIP]), expected)
    for got, wanted in pairs:
        np.testing.assert_allclose(got, wanted, TOLERANCE, TOLERANCE)


@pytest.mark.parametrize(
    ("op", "shape", "bounds"),
    [
        ("depthwise", (3, 3, 4, 2), (4, 2)),
        ("conv2d_transpose", (2, 2, 5, 3), (5,)),
        ("conv1d", (3, 2, 4), (4,)),
    ],
)
def test_bounds_are_of_output_channels(op, shape, bounds):
    layer, (w, _, g) = node(op, KINDS["binary"]), kernel(shape)
    assert quantizer.clip_shape(layer, shape) == bounds
    axes = quantizer.summed_axes(layer, len(shape))
    c = clipping.initial(w, axes).reshape(bounds)
    weights = {"kernel": tf.constant(w), quantizer.CLIP: tf.constant(c * 0 + 0.1)}
    q = quantizer.forward(layer, weights)["kernel"].numpy()
    found = quantizer.backward(layer, weights, {"kernel": tf.constant(g)})
    size = np.abs(np.clip(w, -0.1, 0.1)).mean(axes, keepdims=True)
    np.testing.assert_allclose(q, np.where(w >= 0, size, -size), TOLERANCE)
    pull = np.where(np.abs(w) > 0.1, g * np.sign(w) * size, 0).sum(axes)
    np.testing.assert_allclose(
        found[quantizer.CLIP], pull.reshape(bounds), 1e-5, TOLERANCE
    )


@pytest.mark.parametrize("kind", KINDS)
def test_weights_have_few_values(kind):
    w, c, _ = kernel((5, 5, 8, 3))
    found = KINDS[kind]
    weights = {"kernel": tf.constant(w), quantizer.CLIP: tf.constant(c)}
    q = quantizer.forward(node("conv2d", found), weights)["kernel"].numpy()
    values = [len(np.unique(q[..., channel])) for channel in range(3)]
    assert max(values) <= {"binary": 2, "ternary": 3}.get(kind, 2**found.bits - 1)
    assert min(values) >= 2
    np.testing.assert_array_equal(np.sign(q[w == 0]), [float(kind == "binary")])


def test_a_bound_never_falls_to_nothing():
    weights = {"kernel": tf.ones([3, 1]), quantizer.CLIP: tf.constant([-5.0])}
    q = quantizer.forward(node("dense", KINDS["4 bits"]), weights)["kernel"]
    np.testing.assert_allclose(q, np.full((3, 1), 1e-3), 1e-6)


@pytest.mark.parametrize("bound", ["deviations", "one", "largest"])
def test_constant_bounds(bound):
    w, _, g = kernel((4, 4, 3, 2))
    layer = node("conv2d", WeightQuantizer("rounded", 3, bound))
    c = {
        "deviations": 2.5 * w.astype(float).std((0, 1, 2)),
        "one": np.ones(2),
        "largest": np.abs(w).max((0, 1, 2)),
    }[bound]
    q = quantizer.forward(layer, {"kernel": tf.constant(w)})["kernel"]
    clipped = np.clip(w.astype(float), -c, c)
    np.testing.assert_allclose(q, np.round(clipped / c * 3) * c / 3, 1e-5, 1e-6)
    found = quantizer.backward(layer, {"kernel": tf.constant(w)}, {"kernel": g})
    assert set(found) == {"kernel"}
    np.testing.assert_array_equal(found["kernel"], np.where(np.abs(w) <= c, g, 0))


def test_rounded_weights_need_a_bound():
    with pytest.raises(ModelError, match="need a bound"):
        WeightQuantizer("rounded", 4, "none")
    with pytest.raises(ModelError, match="clipping 'soft'"):
        WeightQuantizer("binary", 1, "soft")


ACTIVATIONS = {
    "sign": ("sign", {}),
    "relu 1 bit": ("rounded", {"bits": 1, "signed": False}),
    "relu 4 bits": ("rounded", {"bits": 4, "signed": False}),
    "signed 2 bits": ("rounded", {"bits": 2, "signed": True}),
    "signed 8 bits": ("rounded", {"bits": 8, "signed": True}),
}


def one_activation(name: str, a: float, r: float, dy: float):
    """Returns (y, da, dr) in Python floats."""
    if name == "sign":
        return (1.0 if a >= 0 else -1.0), (dy if abs(a) <= 1 else 0.0), 0.0
    op = ACTIVATIONS[name][1]
    low = -r if op["signed"] else 0.0
    n = 2 ** (op["bits"] - 1) - 1 if op["signed"] else 2 ** op["bits"] - 1
    y = r * half_even(min(max(a, low), r) / r * n) / n
    under = -dy if op["signed"] and a < -r else 0.0
    return y, (dy if low <= a <= r else 0.0), (dy if a > r else under)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_those_of_nested_loops(name):
    op, attributes = ACTIVATIONS[name]
    rng, r = np.random.default_rng(3), 1.7
    a = np.append(rng.normal(0, 1.5, 200), [0.0, -0.0, 1.0, -1.0, r, -r])
    a = a.astype(np.float32).reshape(2, -1)
    dy = rng.normal(size=a.shape).astype(np.float32)
    (lowering,) = FAMILIES[op]
    weights = {"range": tf.constant([r])} if op == "rounded" else {}
    r = float(np.float32(r))
    run = Pass(True, Rows.of(tf.ones(2)), frozenset(["x", "layer"]))
    site = Site(node(op, **attributes), weights, run)
    output = lowering.forward(site, [tf.constant(a)])
    found = lowering.backward(site, output.residual, Gradient.of(tf.constant(dy)))
    expected = [
        one_activation(name, *map(float, (x, r, d))) for x, d in zip(a.flat, dy.flat)
    ]
    y, da, dr = map(np.array, zip(*expected))
    np.testing.assert_allclose(output.value.numpy().ravel(), y, TOLERANCE, TOLERANCE)
    (got,) = found.inputs
    np.testing.assert_array_equal(got.dense().numpy().ravel(), np.float32(da))
    if weights:
        np.testing.assert_allclose(found.weights["range"], [dr.sum()], 1e-5)


def test_sign_and_step_of_every_float():
    """TensorFlow's kernels take denormal values for 0, as XNNPACK does."""
    x = np.where(np.abs(AWKWARD) < 2e-38, 0, AWKWARD).astype(np.float32)
    np.testing.assert_array_equal(sign(tf.constant(x)), np.where(x >= 0, 1, -1))
    np.testing.assert_array_equal(above(tf.constant(x)), x > 0)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_converted_quantizers_are_tensorflows_bit_for_bit(runtime):
    """Where no sum is taken, for awkward values too; and all of it is delegated."""
    wide = [*AWKWARD, *np.random.default_rng(0).normal(0, 2, 47).astype(np.float32)]
    x = np.float32(wide).reshape(16, 4)
    rounded = node("dense", WeightQuantizer("rounded", 4))
    c, r = tf.constant([0.5, 1.0, 1.5, 2.0]), tf.constant([1.3])
    (signs,), (rounds,) = FAMILIES["sign"], FAMILIES["rounded"]
    run = Pass(True, Rows.of(tf.ones(16)), frozenset(["x", "layer"]))

    def step(x):
        weights = {"kernel": x, quantizer.CLIP: c}
        of_weights = quantizer.backward(rounded, weights, {"kernel": x + 1.0})
        plain = Site(node("sign"), {}, run)
        kept = signs.forward(plain, [x])
        signed = Site(node("rounded", bits=4, signed=True), {"range": r}, run)
        through = signs.backward(plain, kept.residual, Gradient.of(x - 3.0))
        return {
            "sign": kept.value,
            "above": above(x),
            "weights": quantizer.forward(rounded, weights)["kernel"],
            "dweights": of_weights["kernel"],
            "rounded": rounds.forward(signed, [x]).value,
            "dsign": through.inputs[0].dense(),
        }

    module = tf.Module()
    function = tf.function(step, input_signature=[tf.TensorSpec([16, 4], name="x")])
    module.functions = {"step": function.get_concrete_function()}
    model = convert(module)
    (found,) = RUNTIMES[runtime](model, [("step", {"x": x})])
    for name, value in step(tf.constant(x)).items():
        np.testing.assert_array_equal(found[name], value.numpy(), err_msg=name)
    assert partitions(model)["step"].outside == {}
