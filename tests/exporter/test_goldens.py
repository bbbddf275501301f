"""What golden calls play, and how tightly they hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tf_keras
from tf_keras import layers as kl

from tests import nets
from tflite_odl import contract
from tflite_odl.exporter import goldens
from tflite_odl.exporter.export import export
from tflite_odl.host import goldens as host
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import InterpreterRuntime
from tflite_odl.methods import Finetune, Skip


@pytest.fixture(scope="module")
def skipping():
    method = Skip(nets.mlp(), learning_rate=0.1, update_period=5)
    return export(method, nets.BATCH)


def test_the_threshold_of_skip_moves(skipping):
    train = [c for c in skipping.goldens.calls if c.signature == contract.TRAIN]
    kept = [int(call.outputs["kept"].value[0]) for call in train]
    thresholds = [float(call.outputs["threshold"].value[0]) for call in train]
    assert len(train) == 3 and kept[0] > 0 and kept[-1] == 0
    assert min(thresholds) < 1


def test_inference_and_evaluation_follow_each_step(skipping):
    calls = skipping.goldens.calls
    after = [call.signature for call in calls if call.changes is None]
    assert after == [contract.INFER, contract.EVALUATE] * 3
    found = [
        call.outputs["probabilities"].value
        for call in calls
        if call.signature == contract.INFER
    ]
    # The last step keeps no row, and so leaves the weights as they were shipped.
    assert not np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[3])


def test_noise_about_zero_loosens_no_golden():
    """Adam makes whole updates of the rounding of a bias before a batch norm."""
    tf_keras.utils.set_random_seed(1)
    net = tf_keras.Sequential(
        [
            kl.Input((6, 6, 2)),
            kl.Conv2D(4, 3, name="conv"),
            kl.BatchNormalization(),
            kl.Flatten(),
            kl.Dense(3),
        ]
    )
    done = export(
        Finetune(net, optimizer="adam", loss="sparse_cross_entropy"), nets.BATCH
    )
    for call in done.goldens.calls:
        for name, expected in call.outputs.items():
            limit = goldens.LEAST_DRIFT
            if call.changes is not None and name not in goldens.OF_GRADIENTS:
                limit = 1e-5
            assert expected.rtol <= limit, (call.signature, name)


def test_a_runtime_that_restores_wrong_fails(skipping, tmp_path):
    """Each call begins from a stated state: one that is not restored shows."""
    artifact = Artifact.open(skipping.save(tmp_path / "a"))

    class Forgetful(InterpreterRuntime):
        def run(self, signature, inputs):
            if signature == contract.RESTORE:
                inputs = {**inputs, "threshold_interval": np.int32([20])}
            return super().run(signature, inputs)

    for kind, passes in ((InterpreterRuntime, True), (Forgetful, False)):
        with kind(artifact.model, artifact.manifest) as runtime:
            results = host.check(runtime, artifact)
        assert all(result.passed for result in results) == passes


def test_outputs_that_the_goldens_do_not_know_fail(skipping, tmp_path):
    calls = list(skipping.goldens.calls)
    named = next(n for n, c in enumerate(calls) if "loss" in c.outputs)
    outputs = {n: v for n, v in calls[named].outputs.items() if n != "loss"}
    calls[named] = dataclasses.replace(calls[named], outputs=outputs)
    short = dataclasses.replace(skipping, goldens=type(skipping.goldens)(tuple(calls)))
    artifact = Artifact.open(short.save(tmp_path / "a"))
    with InterpreterRuntime(artifact.model, artifact.manifest) as runtime:
        results = host.check(runtime, artifact)
    assert [r.output for r in results if not r.passed] == ["loss"]
