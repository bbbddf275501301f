"""The gate: what must be refused is, with the place, and nothing is written."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tf_keras import layers as kl

from tests import nets
from tflite_odl.builtin import dense, ops
from tflite_odl.builtin.lowering import Gradients, Output, Residual
from tflite_odl.builtin.optimizers import Adam
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.errors import ArtifactError, ContractError, ExportError, ModelError
from tflite_odl.exporter import flatbuffer
from tflite_odl.exporter.compact import compact
from tflite_odl.exporter.convert import convert
from tflite_odl.exporter.export import export
from tflite_odl.host.artifact import Artifact
from tflite_odl.methods import Finetune
from tflite_odl.proof.gate import ParityError
from tflite_odl.signatures import TrainableModule


class Naive(dense.Product):
    """x @ K as people write it: it becomes FULLY_CONNECTED with a variable weight."""

    name = "naive"
    delegated = False

    def forward(self, site, inputs):
        y = tf.matmul(inputs[0], site.weights["kernel"])
        y = y + site.weights["bias"] if "bias" in site.weights else y
        return Output(y, Residual(rows={"x": inputs[0]}))


class Slanted(dense.Product):
    """A gradient that is one part in a thousand too large in one column."""

    name = "slanted"
    delegated = False

    def backward(self, site, residual, gradient):
        found = super().backward(site, residual, gradient)
        columns = found.weights["kernel"].shape[-1]
        slant = np.ones(columns, np.float32)
        slant[1] = 1.001
        kernel = found.weights["kernel"] * slant
        return Gradients(found.inputs, {**found.weights, "kernel": kernel})


@pytest.fixture
def families(monkeypatch):
    """Lets the plan choose this file's lowerings of Dense."""
    fitting = (*ops.FAMILIES["dense"], Naive(), Slanted())
    monkeypatch.setitem(ops.FAMILIES, "dense", fitting)


def test_dropped_relu_is_caught_and_our_lowering_avoids_it(families, tmp_path):
    """The converter drops a relu behind a bias-free product with a variable weight."""
    with pytest.raises(ParityError, match=r"tensor '\w+', index \[.*TensorFlow has"):
        export(
            Finetune(nets.mlp(), choices={"hidden": "naive"}),
            nets.BATCH,
            keep_rejected=tmp_path / "kept",
        )
    with pytest.raises(ArtifactError, match="was rejected when it was exported"):
        Artifact.open(tmp_path / "kept")
    assert export(Finetune(nets.mlp()), nets.BATCH).manifest.plan["hidden"] == "product"


def test_slightly_wrong_loss_is_caught(monkeypatch):
    right = Finetune.train

    def wrong(self, state, inputs):
        outcome = right(self, state, inputs)
        outputs = {**outcome.outputs, "loss": outcome.outputs["loss"] * 1.0001}
        return dataclasses.replace(outcome, outputs=outputs)

    monkeypatch.setattr(Finetune, "train", wrong)
    with pytest.raises(ParityError, match="'train', tensor 'loss'"):
        export(Finetune(nets.mlp()), nets.BATCH)


def test_slightly_wrong_gradient_is_caught(families):
    method = Finetune(nets.mlp(), choices={"head": "slanted"}, learning_rate=0.1)
    with pytest.raises(
        ParityError, match=r"'train', tensor 'head_kernel', index \[., 1"
    ):
        export(method, nets.BATCH)


def test_slightly_wrong_update_is_caught_beside_noise(monkeypatch):
    """The biases' gradients are exactly 0; Adam makes an update of their rounding."""
    right = Adam.step

    def wrong(self, weight, gradient, slots, state, rate):
        return right(self, weight, gradient, slots, state, rate * 1.001)

    net = model(
        kl.Conv2D(4, 3, name="conv"),
        kl.BatchNormalization(),
        kl.Conv2D(4, 3, name="conv2"),
        kl.BatchNormalization(),
        kl.Flatten(),
        kl.Dense(3),
    )
    monkeypatch.setattr(Adam, "step", wrong)
    with pytest.raises(ParityError, match="'train', tensor 'conv_kernel'"):
        export(Finetune(net, optimizer="adam", loss="sparse_cross_entropy"), nets.BATCH)


def test_flex_op_fails_with_its_layer(monkeypatch):
    class Flex(Naive):
        name = "flex"

        def forward(self, site, inputs):
            output = super().forward(site, inputs)
            y = tf.raw_ops.ReluGrad(gradients=output.value, features=output.value)
            return Output(y, output.residual)

    monkeypatch.setitem(ops.FAMILIES, "dense", (Flex(),))
    with pytest.raises(ExportError, match="ReluGrad"):
        export(Finetune(nets.mlp()), nets.BATCH)


@pytest.mark.parametrize("name", ["finetune-sgd", "finetune-mlp"])
def test_size_is_state_and_little_more(build, name):
    artifact = Artifact.open(build(name))
    state = sum(spec.bytes for spec in artifact.manifest.state)
    count = sum(sum(ops.values()) for ops in artifact.manifest.ops.values())
    most = max(state * 1.1 + 20 * count, state + 300_000)
    assert len(artifact.model) <= most
    assert flatbuffer.sizes(artifact.model)["total"] == len(artifact.model)


def test_real_sample_must_fit():
    x, y = np.zeros((4, 9), np.float32), np.zeros(4, np.int32)
    with pytest.raises(ContractError, match=r"N rows of x \[4\] float32"):
        export(Finetune(nets.mlp()), nets.BATCH, sample=(x, y))


def model(*layers, shape=(6, 6, 2)):
    import tf_keras

    return tf_keras.Sequential([kl.Input(shape), *layers])


def two(names):
    """A model of two inputs by the given names."""
    import tf_keras

    inputs = [kl.Input((3,), name=name) for name in names]
    joined = kl.Add()(inputs)
    return tf_keras.Model(inputs, kl.Dense(2)(joined))


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (
            lambda: model(
                kl.Flatten(), kl.Dense(3), kl.Lambda(lambda x: x, name="odd")
            ),
            {},
            r"layer 'odd' \(Lambda\).*use operators on tensors",
        ),
        (
            lambda: model(kl.Conv2D(2, 3, activation="exponential", name="c")),
            {},
            "layer 'c'.*exponential",
        ),
        (lambda: model(kl.Flatten()), {}, "no layer that computes"),
        (lambda: nets.mlp(), {"trainable": "nothing"}, "matches no layer"),
        (lambda: nets.mlp(), {"optimizer": "sdg"}, "'sdg' is not one of"),
        (lambda: nets.mlp(), {"learning_rate": -1.0}, "learning_rate is above 0"),
        (lambda: nets.mlp(), {"learning_rate": 1e30}, "at most 1000, got 1e"),
        (
            lambda: nets.mlp(),
            {"optimizer": "adam", "hyperparameters": {"beta_1": 1.5}},
            "'beta_1': .0.0, 0.99.*got .'beta_1': 1.5",
        ),
        (lambda: nets.mlp(), {"hyperparameters": {"rho": 1}}, "has hyper-parameters"),
        (lambda: nets.mlp(), {"accumulate": 0}, "needs 1 batch or more"),
        (lambda: nets.mlp(), {"loss": "hinge"}, "'hinge' is not one of"),
        (lambda: nets.mlp("sigmoid"), {}, "'head'.*'sigmoid'.*this loss.*softmax"),
        (
            lambda: nets.mlp(),
            {"loss": "binary_cross_entropy"},
            "'head'.*'softmax'.*this loss.*sigmoid",
        ),
        (
            lambda: nets.two_inputs(),
            {"preprocessing": {"z": Preprocessing()}},
            r"for \['z'\], the inputs are \['x', 'side_vector'\]",
        ),
        (lambda: two(("y", "b")), {}, "'y' is taken, rename"),
        (lambda: nets.mlp(), {"classes": ("a",)}, "1 class names for 3 outputs"),
        (lambda: nets.mlp(), {"choices": {"hiden": "product"}}, "does not have"),
        (lambda: nets.mlp(), {"choices": {"hidden": "taps"}}, "those that support it"),
    ],
)
def test_what_cannot_be_trained_is_named(net, options, message):
    with pytest.raises(ModelError, match=message):
        Finetune(net(), **{"loss": "sparse_cross_entropy", **options})


def test_a_method_is_the_same_file_whatever_was_traced_before():
    """TensorFlow numbers its functions by process, and branches are functions."""

    def file(name: str) -> bytes:
        module = TrainableModule(nets.method_of(name), nets.BATCH)
        return compact(convert(module))

    first = file("skip-selective")
    file("finetune-mlp")
    assert file("skip-selective") == first


def test_layer_called_with_training_false_keeps_its_statistics():
    """The transfer-learning idiom: base(x, training=False)."""
    import tf_keras

    inputs = kl.Input((6, 6, 2))
    x = kl.Conv2D(4, 3, name="conv")(inputs)
    x = kl.BatchNormalization(name="norm")(x, training=False)
    net = tf_keras.Model(inputs, kl.Dense(3)(kl.GlobalAveragePooling2D()(x)))
    exported = export(Finetune(net, loss="sparse_cross_entropy"), nets.BATCH)
    names = [spec.name for spec in exported.manifest.state]
    assert "norm_gamma" in names and "norm_moving_mean" not in names


def test_memory_above_the_limit_is_refused_with_its_parts():
    with pytest.raises(ExportError, match="limit is 0.1 MB .weights 0.0, .* smaller b"):
        export(Finetune(nets.mlp()), nets.BATCH, memory_limit=100_000)
