"""The audit finds every op, its layer, and the traps of the runtimes."""

import pytest
import tensorflow as tf

from tests.exporter import tiny_trainer
from tflite_odl.errors import ExportError
from tflite_odl.exporter.audit import Audit, audit, layer_of

X = tf.TensorSpec([4, 8], tf.float32, name="x")


@pytest.fixture(scope="module")
def found() -> Audit:
    return audit(tiny_trainer.model(), tiny_trainer.LAYERS)


def test_counts_every_signature_and_the_branches_it_calls(found):
    train = found.ops_by_signature["train"]
    assert set(found.ops_by_signature) == {"train", "save", "restore"}
    assert train["IF"] == 1
    assert train["TANH"] == 1, "TANH lives in a branch of the IF only"
    # Three of the step itself, three of CALL_ONCE's body, which sets initial values.
    assert train["ASSIGN_VARIABLE"] == 3 + 3
    assert found.ops_by_signature["save"]["READ_VARIABLE"] == 3


def test_attributes_ops_to_layers(found):
    train = found.ops["train"]
    assert train["SOFTMAX"] == {"dense": 1}
    assert train["BATCH_MATMUL"] == {"dense": 1}, "the backward scope counts too"
    assert train["MEAN"] == {"": 1}, "the loss belongs to no layer"


def test_safe_model_has_no_flags(found):
    assert found.flags == ()
    found.check()


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("forward/dense/MatMul", "dense"),
        ("forward/dense_1/MatMul", "dense_1"),
        ("StatefulPartitionedCall/backward/dense/mul", "dense"),
        ("add;forward/dense_1/Relu;forward/dense/MatMul", "dense_1"),
        ("forward/block/dense/MatMul", "block/dense"),
        ("forward/dense", "dense"),
        ("my_forward/dense/MatMul", ""),
        ("forward/unknown/MatMul", ""),
        ("loss/dense/MatMul", ""),
    ],
)
def test_layer_of(name, layer):
    assert layer_of(name, ["dense", "dense_1", "block", "block/dense"]) == layer


def test_branch_inherits_the_layer_of_its_if():
    def step(x):
        with tf.name_scope("forward/gate/"):
            total = tf.reduce_sum(x)
            y = tf.cond(total > 0, lambda: tf.sin(x), lambda: tf.exp(x))
        return {"y": y * 2.0}

    ops = audit(tiny_trainer.convert_one(step, X), ["gate"]).ops["train"]
    assert ops["IF"] == {"gate": 1}
    assert ops["SIN"] == {"gate": 1}


def test_flex_op_is_refused_with_signature_and_layer():
    def step(x):
        with tf.name_scope("forward/odd_layer/"):
            y = tf.raw_ops.ReluGrad(gradients=x, features=x)
        return {"y": y + 1.0}

    model = tiny_trainer.convert_one(step, X, flex=True)
    with pytest.raises(ExportError, match=r"FlexReluGrad.*'train'.*'odd_layer'"):
        audit(model, ["odd_layer"])


@pytest.mark.parametrize(
    ("function", "flag"),
    [
        (lambda x: {"a": x + 1.0, "y": x}, r"'y' is an input passed through"),
        (lambda x: {"y": tf.reduce_sum(x)}, r"output 'y' has rank 0"),
        (lambda x: {"y": tf.reverse(x, [0, 1])}, r"REVERSE_V2 over 2 axes"),
        (lambda x: {"y": tf.cast(x, tf.int64)}, r"output 'y' is int64"),
        (
            lambda x: {"a": x + 1.0, "y": tf.constant([1.0, 2.0])},
            r"'y' is not computed by an op",
        ),
    ],
)
def test_flags(function, flag):
    found = audit(tiny_trainer.convert_one(function, X), [])
    assert len(found.flags) == 1
    with pytest.raises(ExportError, match=flag):
        found.check()


def test_one_reverse_per_axis_is_not_flagged():
    def step(x):
        return {"y": tf.reverse(tf.reverse(x, [0]) * 2.0, [1])}

    assert audit(tiny_trainer.convert_one(step, X), []).flags == ()


def test_open_batch_is_flagged():
    spec = tf.TensorSpec([None, 8], tf.float32, name="x")
    found = audit(tiny_trainer.convert_one(lambda x: {"y": x + 1.0}, spec), [])
    assert all("not fixed" in flag for flag in found.flags)
    assert len(found.flags) == 2


def test_padding_that_older_runtimes_get_wrong_is_flagged():
    image = tf.TensorSpec([1, 12, 12, 4], tf.float32, name="x")

    def convolution(height, width, padding):
        taps = tf.ones([height, width, 4, 4])
        return lambda x: {"y": tf.nn.conv2d(x, taps, 2, padding)}

    flags = audit(tiny_trainer.convert_one(convolution(3, 1, "SAME"), image), []).flags
    assert len(flags) == 1
    assert "kernel [3, 1], strides [2, 2] and padding SAME over [12, 12]" in flags[0]
    for right in ((3, 2, "SAME"), (1, 1, "SAME"), (3, 1, "VALID")):
        model = tiny_trainer.convert_one(convolution(*right), image)
        assert audit(model, []).flags == (), right
