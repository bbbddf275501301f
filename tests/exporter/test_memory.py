"""Peak memory from the flatbuffer, against hand counts and against the process."""

import subprocess
import sys

import pytest
import tensorflow as tf

from tests.exporter import tiny_trainer
from tflite_odl.contract import TensorSpec
from tflite_odl.exporter.arena import Lifetime, arena_bytes
from tflite_odl.exporter.compact import compact
from tflite_odl.exporter.memory import PARTS, memory

STATE = (
    TensorSpec("kernel", "float32", (8, 3), role="weight"),
    TensorSpec("slot", "float32", (8, 3), role="slot"),
    TensorSpec("step", "int32", (1,), role="counter"),
)
MEGABYTE = 1 << 20
ROW = tf.TensorSpec([1, MEGABYTE], tf.float32, name="x")

_GROWTH = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

def runner(path):
    return Interpreter(path, num_threads=1).get_signature_runner("train")

runner(sys.argv[1])(x=np.zeros([1, 8], np.float32))
x = np.zeros([1, 1 << 20], np.float32)
x += 1
before = resident()
kept = runner(sys.argv[2])
kept(x=x)
print(resident() - before)
"""


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ([], 0),
        ([Lifetime(64, 0, 1), Lifetime(64, 2, 3)], 64),
        ([Lifetime(64, 0, 1), Lifetime(64, 1, 2)], 128),
        # 64 fits into the hole that the first tensor leaves under the second.
        ([Lifetime(128, 0, 1), Lifetime(100, 1, 3), Lifetime(64, 2, 3)], 228),
        # Best fit, not first fit: the third takes the gap of 64, the fourth 128.
        (
            [
                Lifetime(256, 0, 1),
                Lifetime(192, 1, 4),
                Lifetime(128, 2, 2),
                Lifetime(64, 2, 2),
            ],
            448,
        ),
    ],
)
def test_arena(tensors, expected):
    assert arena_bytes(tensors) == expected


def test_variables_go_by_the_roles_of_what_save_returns():
    parts = memory(tiny_trainer.model(), STATE)
    for signature in ("train", "save", "restore"):
        assert parts[signature]["weights"] == 8 * 3 * 4
        assert parts[signature]["slots"] == 8 * 3 * 4
        assert parts[signature]["state"] == 4
        assert parts[signature]["total"] == sum(parts[signature][p] for p in PARTS)


def test_names_are_not_needed():
    model = tiny_trainer.model()
    assert memory(compact(model), STATE) == memory(model, STATE)


def test_constants_of_a_product_count_twice_others_once():
    weights = tf.random.stateless_normal([8, 16], [1, 2])
    offset = tf.random.stateless_normal([4, 16], [3, 4])
    x = tf.TensorSpec([4, 8], tf.float32, name="x")

    def step(x):
        return {"y": tf.matmul(x, weights) * offset}

    parts = memory(tiny_trainer.convert_one(step, x), ())["train"]
    assert parts["constants"] == 2 * 8 * 16 * 4 + 4 * 16 * 4


def test_activations_die_after_their_last_use():
    def step(x):
        wide = tf.concat([x, x], 0)
        return {"y": tf.reduce_sum(tf.transpose(wide)) + tf.zeros([1])}

    x = tf.TensorSpec([1, 1024], tf.float32, name="x")
    parts = memory(tiny_trainer.convert_one(step, x), ())["train"]
    # x [4 kB] lives to the CONCATENATION; then [8 kB] and its transpose; + 2 scalars.
    assert 16 * 1024 <= parts["activations"] <= 16 * 1024 + 4 * 64


def test_only_the_larger_branch_of_an_if_counts():
    def branch(copies):
        return lambda x: tf.reduce_sum(tf.concat([x] * copies, 0), 0)[None]

    def step(x):
        small, large = branch(2), branch(8)
        y = tf.cond(x[0, 0] > 0, lambda: small(x), lambda: large(x))
        return {"y": y * 2.0}

    x = tf.TensorSpec([1, 1024], tf.float32, name="x")
    parts = memory(tiny_trainer.convert_one(step, x), ())["train"]
    # The branch holds the concatenation [32 kB]; its sum may need a second tensor.
    assert 32 * 1024 <= parts["temporary"] < 40 * 1024


def test_agrees_with_the_growth_of_resident_memory(tmp_path):
    """Six activations of 4 MB that all live until the way back."""

    def step(x):
        ahead = [x]
        for _ in range(6):
            ahead.append(tf.sin(ahead[-1]))
        back = tf.zeros([1, 1])
        for activation in ahead[:0:-1]:
            back = tf.reduce_sum(activation * (activation + back), 1, keepdims=True)
        return {"y": back}

    small = tf.TensorSpec([1, 8], tf.float32, name="x")
    (tmp_path / "small.tflite").write_bytes(tiny_trainer.convert_one(step, small))
    model = tiny_trainer.convert_one(step, ROW)
    (tmp_path / "model.tflite").write_bytes(model)
    command = [sys.executable, "-c", _GROWTH, "small.tflite", "model.tflite"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, check=True, text=True
    )
    measured = int(done.stdout)
    parts = memory(model, ())["train"]
    # What the runtime keeps whatever it runs, it kept for the small model already.
    expected = parts["total"] - parts["runtime"]
    assert expected > 6 * 4 * MEGABYTE
    assert abs(measured - expected) < 0.1 * expected
