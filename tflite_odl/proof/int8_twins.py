"""Proves an int8 serving twin: layer by layer, as shipped and as baked from another
state, what int8 arithmetic must give."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tflite_odl import quantizing
from tflite_odl.builtin.fake_quant import FIXED
from tflite_odl.builtin.quantized import AVERAGES, Backbone, source
from tflite_odl.contract import INFER, RESTORE
from tflite_odl.host.int8 import Int8
from tflite_odl.host.runtimes import Runtime
from tflite_odl.proof import twins
from tflite_odl.proof.backbones import ONE_STEP, check, layer_off
from tflite_odl.proof.candidate import ParityError
from tflite_odl.proof.proof import Arrays

# A value that is rounded on its way as well, as a silu by way of its sigmoid.
TWO_STEPS = 2.001
# How much further the moved state has seen activations go than calibration.
WIDER = 1.5


def prove(
    runtimes: Mapping[str, Runtime],
    baked: Mapping[str, Callable[[Arrays], Runtime]],
    twin: Any,
    shipped: Arrays,
    rows: Arrays,
) -> dict[str, dict[str, float]]:
    """Compares the twin with TensorFlow, layer by layer, and with the artifact.

    Every layer is computed in TensorFlow from what LiteRT's own kernels have made of
    the layers before it: rounding must not add up to be seen. How far the outputs are
    from the artifact's `infer` is what int8 costs: that is told, not judged.

    Args:
      runtimes: of the training artifact, by name.
      baked: by the same names: state -> a runtime of the twin baked from it.
      twin: an `exporter.int8_twin.ServedInt8`.
      shipped: the state.
      rows: {input: [n, ...]}, as the sensor gives them.

    Returns:
      {"shipped", "moved": {figure: value}}.

    Raises:
      ParityError: a layer is off, or a row with NaN comes out as numbers.
    """
    found = {}
    first = next(iter(runtimes.values()))
    states = {"shipped": shipped, "moved": _moved(first, twin.twin.int8, shipped)}
    for case, state in states.items():
        backbone = twin.expected(state)
        actual = _values(twin.bake(state), twin.twin.int8, backbone, rows, first)
        # What only float layers read is not in the file as the net has it.
        raw = {name: tf.constant(value) for name, value in rows.items()}
        inputs = backbone.on_steps(twin.network.preprocess(raw))
        for node, value in zip(backbone.graph.inputs, inputs, strict=True):
            check(backbone, node, actual.setdefault(node.name, value.numpy()), value)
        off = []
        for name, runtime in runtimes.items():
            runtime.run(RESTORE, dict(state))
            with baked[name](state) as served:
                for call in calls(runtime, rows):
                    expected, outputs = (
                        runtime.run(INFER, call),
                        served.run(INFER, call),
                    )
                    off += [np.abs(expected[n] - v) for n, v in outputs.items()]
                _check_bad_rows(served, call)
            runtime.run(RESTORE, dict(shipped))
        found[case] = {
            "steps_of_a_layer": _steps(backbone, actual),
            "most_from_infer": float(max(one.max() for one in off)),
            "mean_from_infer": float(np.mean([one.mean() for one in off])),
        }
    return found


def _moved(runtime: Runtime, int8: Int8, shipped: Arrays) -> dict[str, np.ndarray]:
    """Returns a state whose weights are all others, and whose ranges are all wider."""
    state = twins.moved(runtime, shipped)
    if int8.seen:
        state[int8.seen] = shipped[int8.seen] * np.float32(WIDER)
    return state


def calls(runtime: Runtime, rows: Arrays) -> Iterator[dict[str, np.ndarray]]:
    """Yields the inputs of whole infer calls; the last one is filled up."""
    size = runtime.manifest.signature(INFER).inputs[0].shape[0]
    count = len(next(iter(rows.values())))
    for at in range(0, count, size):
        chosen = np.arange(at, at + size) % count
        yield {name: value[chosen] for name, value in rows.items()}


def _steps(backbone: Backbone, actual: Mapping[str, np.ndarray]) -> float:
    """Returns how many steps the worst node is off."""
    worst = 0.0
    for node in backbone.graph.nodes:
        if node.op == "input" or node.name not in actual:
            continue
        before = {backbone.graph.node(name).op for name in node.inputs}
        limit = TWO_STEPS if before & FIXED.keys() or node.op == "silu" else ONE_STEP
        worst = max(worst, layer_off(backbone, node.name, actual, limit))
    return worst


def _values(
    model: bytes, int8: Int8, backbone: Backbone, rows: Arrays, runtime: Runtime
) -> dict[str, np.ndarray]:
    """Returns {node: its output in LiteRT}, of those that have a range.

    By LiteRT's own kernels: what XNNPACK has in between is not to be seen.
    """
    interpreter = Interpreter(
        model_content=model,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    places = _tensors(model, int8, backbone)
    runner = interpreter.get_signature_runner(INFER)
    found: dict[str, list[np.ndarray]] = {name: [] for name in places}
    for call in calls(runtime, rows):
        runner(**call)
        for name, index in places.items():
            low, high = backbone.ranges[name]
            step, zero_point = quantizing.encoding(low, high)
            held = interpreter.get_tensor(index).astype(np.float32)
            value = (held - np.float32(zero_point)) * np.float32(step)
            shape = backbone.graph.node(name).shape
            found[name].append(value.reshape(-1, *shape))
    count = len(next(iter(rows.values())))  # without what filled the last call up
    return {name: np.concatenate(parts)[:count] for name, parts in found.items()}


def _tensors(model: bytes, int8: Int8, backbone: Backbone) -> dict[str, int]:
    """Returns {node: its tensor}: the first that is made with the node's range.

    Averages have the range of what they read; they are known by their op.
    """
    raw = np.frombuffer(model, np.uint8)
    start = raw.__array_interface__["data"][0]
    root = schema.Model.GetRootAs(raw, 0)
    graph = root.Subgraphs(0)
    spans = {span.zero_point: span.name for span in int8.spans}
    nodes: dict[tuple[str, bool, int], str] = {}
    for node in backbone.graph.nodes:
        average = node.op in AVERAGES
        name = source(backbone.graph, node.inputs[0]) if average else node.name
        nodes.setdefault((name, average, math.prod(node.shape)), node.name)
    found: dict[str, int] = {}
    for number in range(graph.OperatorsLength()):
        op = graph.Operators(number)
        code = root.OperatorCodes(op.OpcodeIndex())
        average = code.BuiltinCode() == schema.BuiltinOperator.AVERAGE_POOL_2D
        for index in map(int, op.OutputsAsNumpy()):
            table = graph.Tensors(index).Quantization()
            if table is None or not table.ZeroPointLength():
                continue
            at = table.ZeroPointAsNumpy().__array_interface__["data"][0] - start
            size = math.prod(graph.Tensors(index).ShapeAsNumpy()[1:].tolist())
            name = nodes.get((spans.get(at, ""), average, size))
            if name is not None:
                found.setdefault(name, index)
    return found


def _check_bad_rows(served: Runtime, call: Arrays) -> None:
    """Raises ParityError if a row with NaN comes out as numbers."""
    for name, value in call.items():
        if value.dtype != np.float32:
            continue
        spoiled = value.copy()
        spoiled[0].flat[0] = np.nan
        for output, found in served.run(INFER, {**call, name: spoiled}).items():
            if not np.isnan(found[0]).all():
                raise ParityError(
                    f"int8 serving twin: a row of {name!r} with NaN gives {output} "
                    f"{found[0]}, expected NaN"
                )
