"""Chooses lowerings by measuring them in LiteRT on this machine."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from tflite_odl.builtin.graph import Graph
from tflite_odl.builtin.isolated import Isolated
from tflite_odl.builtin.lowering import Lowering
from tflite_odl.builtin.plan import candidates
from tflite_odl.errors import ModelError
from tflite_odl.exporter import flatbuffer
from tflite_odl.exporter.compact import compact
from tflite_odl.exporter.memory import arena

WARM_UP, ROUNDS = 2, 9


@dataclasses.dataclass(frozen=True)
class Measured:
    """One lowering of one node.

    Attributes:
      lowering: its name.
      ms: median of a forward and backward pass.
      peak_bytes: its activations, inputs and gradients.
    """

    lowering: str
    ms: float
    peak_bytes: int


def tune(
    graph: Graph,
    threads: int = 2,
    memory_limit: int | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> tuple[dict[str, str], dict[str, list[Measured]]]:
    """Measures every lowering of every node that has a choice.

    Nodes that cost the same are measured once. Candidates run in turn, several rounds.

    Args:
      graph: the model.
      threads: of the CPU kernels.
      memory_limit: bytes one node's pass may take, at `isolated.BATCH` rows.
      progress: called with each node's name.

    Returns:
      {node name: fastest lowering}, as `plan` takes it, and what was measured.

    Raises:
      ModelError: no lowering of a node keeps to the limit.
    """
    choices: dict[str, str] = {}
    found: dict[str, list[Measured]] = {}
    known: dict[tuple, list[Measured]] = {}
    for node in graph.nodes:
        fitting = candidates(graph, node) if node.op != "input" else []
        if len(fitting) < 2 or not node.trainable:
            continue
        isolated = Isolated.of(graph, node)
        if isolated.key not in known:
            progress(f"tune {node.name}")
            known[isolated.key] = _measure(isolated, fitting, threads)
        found[node.name] = known[isolated.key]
        choices[node.name] = _fastest(node.name, found[node.name], memory_limit)
    return choices, found


def _fastest(node: str, found: list[Measured], limit: int | None) -> str:
    fitting = [m for m in found if limit is None or m.peak_bytes <= limit]
    if not fitting:
        least = min(found, key=lambda m: m.peak_bytes)
        raise ModelError(
            f"node {node!r} needs {least.peak_bytes / 1e6:.1f} MB at least (by "
            f"{least.lowering!r}), the memory limit is {limit / 1e6:.1f} MB"
        )
    return min(fitting, key=lambda m: m.ms).lowering


def _measure(
    isolated: Isolated, fitting: list[Lowering], threads: int
) -> list[Measured]:
    models = [_convert(isolated, lowering) for lowering in fitting]
    runs = [_runner(model, threads) for model in models]
    times: list[list[float]] = [[] for _ in runs]
    for round_ in range(WARM_UP + ROUNDS):
        for run, kept in zip(runs, times):
            start = time.perf_counter()
            run()
            kept += [(time.perf_counter() - start) * 1e3] * (round_ >= WARM_UP)
    return [
        Measured(lowering.name, float(np.median(kept)), _peak(model))
        for lowering, kept, model in zip(fitting, times, models)
    ]


def _convert(isolated: Isolated, lowering: Lowering) -> bytes:
    function = isolated.traced(lowering)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return compact(converter.convert())


def _runner(model: bytes, threads: int) -> Callable[[], None]:
    interpreter = Interpreter(model_content=model, num_threads=threads)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        values = rng.normal(size=detail["shape"]).astype(np.float32)
        interpreter.set_tensor(detail["index"], values)
    return interpreter.invoke


def _peak(model: bytes) -> int:
    tree = flatbuffer.read(model)
    return max(arena(tree, index)[1] for index in range(len(tree.subgraphs)))
