"""Batch norm where rows are skipped, against loops over rows."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tests.builtin.single import randomize
from tflite_odl.builtin import tape
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.methods import Skip

B, KEPT = 6, (1, 2, 5)


@pytest.fixture(scope="module")
def net() -> tf_keras.Model:
    model = tf_keras.Sequential(
        [
            kl.Input((3,)),
            kl.Dense(4, name="first"),
            kl.BatchNormalization(name="norm"),
            kl.Dense(2, name="head"),
        ]
    )
    randomize(model)
    return model


def by_loops(weights, x, dlogits, divisor) -> dict[str, np.ndarray]:
    """dx_i = a (dy_i - mean dy - c_i mean(dy c) / sigma^2) for kept i, 0 for others."""
    hidden = [x[i] @ weights["first_kernel"] + weights["first_bias"] for i in range(B)]
    mean = sum(hidden) / B
    c = [h - mean for h in hidden]
    variance = sum(ci**2 for ci in c) / B + 1e-3
    a = weights["norm_gamma"] / np.sqrt(variance)
    dy = {i: weights["head_kernel"] @ dlogits[i] for i in KEPT}
    mean_dy = sum(dy.values()) / divisor
    mean_dyc = sum(dy[i] * c[i] for i in KEPT) / divisor
    dx = {i: a * (dy[i] - mean_dy - c[i] * mean_dyc / variance) for i in KEPT}
    return {
        "first_kernel": sum(np.outer(x[i], dx[i]) for i in KEPT),
        "first_bias": sum(dx.values()),
        "norm_gamma": sum(dy[i] * c[i] for i in KEPT) / np.sqrt(variance),
        "norm_beta": sum(dy.values()),
    }


@pytest.mark.parametrize("limit", [0, 16])
@pytest.mark.parametrize("forward", ["shared", "recompute"])
@pytest.mark.parametrize(("norm_means", "divisor"), [("kept", len(KEPT)), ("batch", B)])
def test_kept_rows_see_the_whole_batch_statistics(
    net, forward, norm_means, divisor, limit
):
    method = Skip(net, forward=forward, norm_means=norm_means)
    graph, rng = method.network.graph, np.random.default_rng(1)
    x = rng.normal(size=(B, 3)).astype(np.float32)
    dlogits = rng.normal(size=(B, 2)).astype(np.float32)
    run = Pass(True, Rows.of(tf.ones(B)), graph.differentiated())
    inputs = [tf.constant(x)]
    record = tape.forward(graph, method.network.plan, graph.weights, inputs, run, limit)
    rows = tf.constant(KEPT)
    part = method._record_of(record)(rows, tf.ones(len(KEPT)))
    found = part.backward(tf.gather(tf.constant(dlogits), rows))
    for name, expected in by_loops(graph.weights, x, dlogits, divisor).items():
        # A dozen float32 sums of numbers about 1.
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5)
