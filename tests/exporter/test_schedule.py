"""The scheduled order needs less memory and computes the same bits."""

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from tests.exporter import tiny_trainer
from tflite_odl.exporter import flatbuffer
from tflite_odl.exporter.memory import arena
from tflite_odl.exporter.partitions import partitions
from tflite_odl.exporter.schedule import schedule

LAYERS = 6


class Chain(tf.Module):
    """Products down a chain and back, each layer's outer product needed at the end."""

    def __init__(self):
        super().__init__()
        self.total = tf.Variable(tf.zeros([1]))

    @tf.function(input_signature=[tf.TensorSpec([64, 64], tf.float32, name="x")])
    def train(self, x):
        kept = [x]
        for _ in range(LAYERS):
            kept.append(tf.tanh(kept[-1]) * 0.5)
        dy, sums = kept[-1], []
        for value in reversed(kept):
            sums.append(tf.reduce_sum(tf.matmul(value, dy, transpose_a=True), 1)[:1])
            dy = tf.sin(dy)
        self.total.assign_add(tf.add_n(sums))
        return {"total": tf.reshape(self.total.read_value(), [1]), "dy": dy}


def run(model: bytes, x: np.ndarray) -> list[dict]:
    runner = Interpreter(model_content=model).get_signature_runner()
    return [runner(x=x) for _ in range(3)]


def shuffled(tree, graph, rng) -> list:
    """Returns the ops in another order in which each finds its inputs."""
    made = {t for op in graph.operators for t in flatbuffer.indices(op.outputs)}
    left, found = list(graph.operators), []
    while left:
        ready = [op for op in left if not made & set(flatbuffer.indices(op.inputs))]
        touching = [op for op in left if "VARIABLE" in flatbuffer.op_name(tree, op)]
        ready = [op for op in ready if op not in touching[1:]]
        op = ready[rng.integers(len(ready))]
        left = [other for other in left if other is not op]
        found.append(op)
        made -= set(flatbuffer.indices(op.outputs))
    return found


def test_schedule_keeps_every_bit_and_needs_no_more_memory():
    module = Chain()
    function = module.train.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    converter.experimental_enable_resource_variables = True
    tree = flatbuffer.read(converter.convert())
    main = next(iter(flatbuffer.signatures(tree).values())).subgraph
    x = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    expected, needs = run(flatbuffer.write(tree), x), arena(tree, main)[0]
    for seed in range(3):
        graph = tree.subgraphs[main]
        graph.operators = shuffled(tree, graph, np.random.default_rng(seed))
        worse = arena(tree, main)[0]
        schedule(tree)
        assert arena(tree, main)[0] <= min(worse, 1.2 * needs)
        for before, after in zip(expected, run(flatbuffer.write(tree), x)):
            assert all((before[name] == after[name]).all() for name in before)


def test_integers_are_read_first_so_that_float_reads_share_a_partition():
    """The converter puts the step counter between the reads of slot and kernel."""
    tree = flatbuffer.read(tiny_trainer.model())
    before = partitions(flatbuffer.write(tree))["train"].breaks
    schedule(tree)
    after = partitions(flatbuffer.write(tree))["train"].breaks
    # What is left is read anew after its assignment.
    assert before["READ_VARIABLE"] == 2 and after["READ_VARIABLE"] == 1
