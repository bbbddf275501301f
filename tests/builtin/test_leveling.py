"""What a host bakes is what training computes with: levels, scales, folded norms."""

import numpy as np
import pytest
import tensorflow as tf

from tests.builtin.test_quantizers import node
from tflite_odl.builtin.lowering import Pass, Rows, Site
from tflite_odl.builtin.quantizers import CLIPPINGS
from tflite_odl.builtin.quantizers.activations import FAMILIES
from tflite_odl.builtin.quantizers.weights import WeightQuantizer
from tflite_odl.folding import Formula, Step, from_json
from tflite_odl.leveling import LEAST, TINY, Levels, Range

KINDS = [("binary", 1), ("ternary", 2), ("rounded", 2), ("rounded", 4), ("rounded", 8)]
# {axes of the output channels: a kernel's shape}
SHAPES = {(-1,): (3, 2, 4, 5), (-2,): (3, 3, 5, 2), (-2, -1): (3, 3, 4, 2)}


def case(shape, axes, seed=0):
    """Returns a kernel with a zero, a dead channel and values beyond the bounds."""
    rng = np.random.default_rng(seed)
    w = rng.normal(0, 0.5, shape).astype(np.float32)
    w[0, 0] = 0
    channels = [shape[axis] for axis in axes]
    c = rng.uniform(0.2, 0.6, channels).astype(np.float32)
    c.flat[0] = 1e-5  # below the least bound in use
    return w, c


@pytest.mark.parametrize("axes", SHAPES)
@pytest.mark.parametrize("kind, bits", KINDS)
@pytest.mark.parametrize("clipping", CLIPPINGS)
def test_a_baked_kernel_is_the_one_of_training(kind, bits, clipping, axes):
    if kind == "rounded" and clipping == "none":
        pytest.skip("refused: rounded weights need a bound")
    w, c = case(SHAPES[axes], axes)
    own = {axis % 4 for axis in axes}
    summed = tuple(axis for axis in range(4) if axis not in own)
    bound = c.reshape([n if axis in own else 1 for axis, n in enumerate(w.shape)])
    clip = tf.constant(bound) if clipping == "trained" else None
    quantizer = WeightQuantizer(kind, bits, clipping)
    expected = quantizer.forward(tf.constant(w), summed, clip).numpy()
    levels = Levels(kind, clipping, bits, "c" if clip is not None else None)
    formula = Formula("kernel", "w", None, axes, c.size, (), levels)
    weights = {"w": w, "c": c}
    # Sums of a few dozen float32 in another order; levels are the same ones.
    np.testing.assert_allclose(formula.value(weights), expected, 1e-6, 0)
    whole, scale = formula.parts(weights)
    assert whole.dtype == np.int8 and scale.shape == (c.size,)
    largest = 2 ** (bits - 1) - 1 if bits > 1 else 1
    assert np.abs(whole).max() <= largest and (scale >= TINY).all()
    product = whole * scale.reshape(bound.shape)
    np.testing.assert_allclose(product, expected, 1e-6, 1e-30)


def test_a_norm_behind_a_layer_goes_into_scales_alone():
    """A negative factor turns the levels, for scales are positive; one of 0 stays."""
    w, c = case((3, 3, 2, 4), (-1,))
    gamma = np.float32([2, -1, 0, 0.5])
    step = Step("gamma", "beta", "mean", "variance", 1e-3)
    levels = Levels("binary", "trained", 1, "c")
    formula = Formula("kernel", "w", None, (-1,), 4, (step,), levels)
    assert set(formula.sources) == {"w", "c", "gamma", "variance"}
    weights = {"w": w, "c": c, "gamma": gamma, "variance": np.ones(4, np.float32)}
    whole, scale = formula.parts(weights)
    assert (scale > 0).all() and (np.abs(whole) == 1).all()
    plain = Formula("kernel", "w", None, (-1,), 4, (), levels).parts(weights)
    assert (whole[..., 1] == -plain[0][..., 1]).all()
    assert scale[2] == TINY
    # Products of three float32 in two orders; the dead channel is off by 1e-38.
    value = formula.value(weights)
    np.testing.assert_allclose(whole * scale, value, 1e-6, 1e-37)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("trained", [0.7, 1e-9])
def test_activations_take_the_same_levels(bits, signed, trained):
    a = np.random.default_rng(1).normal(size=(64, 7)).astype(np.float32)
    given = {"r": np.float32([trained])}
    layer = node("rounded", bits=bits, signed=signed)
    weights = {"range": tf.constant(given["r"])}
    run = Pass(False, Rows.of(tf.ones([64])))
    site = Site(layer, weights, run)
    expected = FAMILIES["rounded"][0].forward(site, [tf.constant(a)]).value.numpy()
    n = 2.0 ** (bits - 1) - 1 if signed else 2.0**bits - 1
    part = {p: Range(p, "r", n).value(given) for p in Range.PARTS}
    assert part["high"] == max(np.float32(trained), np.float32(LEAST))
    low = part["low"] if signed else np.float32(0)
    clipped = np.minimum(np.maximum(a, low), part["high"])
    found = np.rint(clipped * part["per_step"]) * part["step"]
    assert (found == expected).all()


def test_formulas_survive_json_and_other_names():
    step = Step("gamma", None, None, None, 0.0)
    reads = Range("step", "r", 15.0)
    levels = Levels("rounded", "trained", 4, "c")
    formula = Formula("kernel", "w", "b", (-1,), 4, (step,), levels, reads)
    assert from_json(formula.to_json()) == formula
    assert from_json(reads.to_json()) == reads
    names = {name: f"s_{name}" for name in ("w", "c", "r", "gamma")}
    assert set(formula.renamed(names).sources) == set(names.values())
