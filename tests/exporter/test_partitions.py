"""XNNPACK's share of a signature, on graphs where it is known."""

import tensorflow as tf

from tests.exporter import tiny_trainer
from tflite_odl.exporter.partitions import partitions

X = tf.TensorSpec([4, 8], tf.float32, name="x")


def of(step):
    return partitions(tiny_trainer.convert_one(step, X))["train"]


def test_float_arithmetic_is_one_partition():
    found = of(lambda x: {"y": tf.tanh(x * 2.0) + x, "z": tf.exp(x)})
    assert found.partitions == (4,)
    assert found.outside == found.breaks == {}


def test_op_in_the_middle_breaks():
    def step(x):
        y = tf.tanh(x)
        return {"y": tf.exp(tf.sign(y) * x)}

    found = of(step)
    assert found.partitions == (2, 1)
    assert found.breaks == found.outside == {"SIGN": 1}


def test_op_at_the_end_does_not_break():
    found = of(lambda x: {"y": tf.sign(tf.tanh(x))})
    assert found.partitions == (1,)
    assert found.outside == {"SIGN": 1}
    assert found.breaks == {}


def test_integer_counter_between_float_variables_breaks():
    """The runtime keeps the order of variable ops, and XNNPACK takes no int32.

    The converter puts the step counter between the reads of slot and kernel.
    """
    found = partitions(tiny_trainer.model())["train"]
    assert found.breaks["ASSIGN_VARIABLE"] == 1
    assert found.breaks["READ_VARIABLE"] == 2


def test_every_op_of_a_training_step_is_counted_once():
    found = partitions(tiny_trainer.model())["train"]
    assert found.outside["IF"] == 1
    assert found.outside["FULLY_CONNECTED"] == 1, "its weights are computed"
    # 11 of the step; TANH, MUL and SUB of the branches.
    assert sum(found.partitions) == 14
