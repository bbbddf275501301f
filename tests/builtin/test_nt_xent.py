"""NT-Xent against nested loops, TensorFlow's own gradient and both runtimes."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.builtin import lite
from tflite_odl.builtin.losses.nt_xent import normalized, nt_xent

OUTPUTS = ("loss", "row_losses", "similarity", "dz1", "dz2")


def numpy_nt_xent(z1, z2, mask, tau):
    """The loss and each row's part by nested loops, in float64."""
    z = np.concatenate([z1, z2]).astype(np.float64)
    count, rows = np.concatenate([mask, mask]) > 0, len(z1)
    terms = np.zeros(2 * rows)
    for i in np.flatnonzero(count):
        others = [j for j in np.flatnonzero(count) if j != i]
        total = sum(math.exp(z[i] @ z[j] / tau) for j in others)
        terms[i] = math.log(total) - z[i] @ z[(i + rows) % (2 * rows)] / tau
    return terms.sum() / max(count.sum(), 1), (terms[:rows] + terms[rows:]) / 2


def tensorflow_nt_xent(u1, u2, mask, tau):
    """The loss of raw rows that count, and its float64 gradient by TensorFlow."""
    keep = np.flatnonzero(mask)
    u1, u2 = (tf.Variable(np.float64(u)) for u in (u1, u2))
    with tf.GradientTape() as tape:
        z = tf.concat([tf.gather(u1, keep), tf.gather(u2, keep)], 0)
        z = tf.math.l2_normalize(z, 1)
        logits = z @ tf.transpose(z) / tau - 1e9 * tf.eye(2 * len(keep), dtype=z.dtype)
        partner = np.roll(np.arange(2 * len(keep)), len(keep))
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(partner, logits)
        loss = tf.reduce_mean(loss)
    gradients = tape.gradient(loss, [u1, u2])
    return loss.numpy(), [tf.convert_to_tensor(g).numpy() for g in gradients]


def run(u1, u2, mask, tau=0.5):
    """The loss of raw rows, with the gradient back through the normalisation."""
    first, second = normalized(u1), normalized(u2)
    found = nt_xent(first.z, second.z, mask, tau)
    outputs = {name: getattr(found, name) for name in OUTPUTS}
    outputs["du1"] = first.backward(found.dz1)
    outputs["du2"] = second.backward(found.dz2)
    return outputs | {"z1": first.z, "z2": second.z}


def pairs(rows, size=5, seed=0):
    rng = np.random.default_rng(seed)
    return [np.float32(rng.normal(size=(rows, size)) * s) for s in (2.0, 0.1)]


@pytest.mark.parametrize("tau", [0.05, 0.5])
@pytest.mark.parametrize("mask", [[1] * 6, [1, 0, 1, 1, 0, 0], [0, 0, 0, 1, 0, 0]])
def test_equals_loops_and_tensorflow(mask, tau):
    u1, u2 = pairs(6)
    mask = np.float32(mask)
    got = {n: v.numpy() for n, v in run(u1, u2, mask, tau).items()}
    loss, row_losses = numpy_nt_xent(got["z1"], got["z2"], mask, tau)
    # float32 exponents of up to 1 / tau = 20, each rounded to 1e-6
    np.testing.assert_allclose(got["loss"], [loss], rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(got["row_losses"], row_losses, rtol=1e-5, atol=4e-6)
    expected, slopes = tensorflow_nt_xent(u1, u2, mask, tau)
    np.testing.assert_allclose(got["loss"], [expected], rtol=1e-5, atol=2e-6)
    for name, slope in zip(("du1", "du2"), slopes):
        # the same roundings, times 1 / tau and 1 / |u|
        bound = 1e-5 * max(np.abs(slope).max(), 1.0)
        np.testing.assert_allclose(got[name], slope, rtol=0, atol=bound, err_msg=name)
        assert not got[name][mask == 0].any()


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_batches_of_any_size(rows):
    u1, u2 = pairs(rows)
    got = run(u1, u2, np.ones(rows, np.float32))
    expected, _ = tensorflow_nt_xent(u1, u2, np.ones(rows), 0.5)
    # float32 roundings of a few exponentials
    np.testing.assert_allclose(got["loss"], [expected], rtol=1e-6, atol=1e-6)


def test_nothing_valid_and_zero_vectors_give_zeros():
    u1, u2 = pairs(3)
    for first, mask in ((u1, [0, 0, 0]), (u1 * 0, [0, 1, 0])):
        got = run(first, u2, np.float32(mask))
        assert all(np.isfinite(value).all() for value in got.values())
        np.testing.assert_array_equal(got["loss"], [0])
    nothing = run(u1, u2, np.zeros(3, np.float32))
    for name in ("loss", "row_losses", "dz1", "dz2", "du1", "du2"):
        assert not nothing[name].numpy().any(), name


def test_masked_rows_change_nothing():
    u1, u2 = pairs(4)
    mask = np.float32([1, 1, 1, 0])
    other = u1.copy()
    other[3] = 100.0
    one, two = run(u1, u2, mask), run(other, u2, mask)
    for name in ("loss", "row_losses", "dz1", "dz2"):
        np.testing.assert_array_equal(one[name], two[name], name)


def test_equal_pairs_have_similarity_one_and_a_known_loss():
    z = np.eye(4, dtype=np.float32)
    found = nt_xent(z, z, np.ones(4, np.float32), 0.5)
    np.testing.assert_array_equal(found.similarity, np.ones(4))
    expected = math.log(math.exp(2) + 6) - 2
    np.testing.assert_allclose(found.loss, [expected], rtol=1e-6)  # a float32 logarithm


def test_a_row_of_its_own_has_no_loss_even_beside_its_copy_in_a_masked_row():
    z = np.float32([[1, 0], [1, 0]])
    found = nt_xent(z, z, np.float32([1, 0]), 0.1)
    np.testing.assert_array_equal(found.loss, [0])
    np.testing.assert_array_equal(found.dz1, np.zeros((2, 2)))


def test_both_runtimes_equal_tensorflow():
    u1, u2 = pairs(6)
    calls = [
        {"u1": u1, "u2": u2, "mask": np.float32(mask)}
        for mask in ([1] * 6, [1, 0, 1, 1, 0, 1], [0] * 6)
    ]
    for inputs, got in zip(calls, lite.both(run, *calls)):
        for name, value in run(**inputs).items():
            bound = 1e-6 * max(
                np.abs(value).max(), 1.0
            )  # float32 sums in another order
            np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=bound)
