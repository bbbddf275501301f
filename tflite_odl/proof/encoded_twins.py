"""Proves a serving twin whose weights are stored in fewer bits: it answers as the float
graph with just these weights does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tflite_odl import quantizing
from tflite_odl.builtin import serving
from tflite_odl.builtin.graph import Graph
from tflite_odl.contract import INFER, RESTORE
from tflite_odl.host.runtimes import Runtime
from tflite_odl.host.weights import BITS, FLOATS, Weight
from tflite_odl.proof import twins
from tflite_odl.proof.candidate import ParityError
from tflite_odl.proof.int8_twins import calls
from tflite_odl.proof.proof import Arrays

# Of float sums in another order; relative where outputs are above 1.
WIDENED = 1e-5
# Kernels of few bits round each row to 255 steps: a layer's error is half a step at
# most, relative to its largest; several layers in a row are allowed as many.
ROUNDED = 0.05


def prove(
    runtimes: Mapping[str, Runtime],
    baked: Mapping[str, Callable[[Arrays], Runtime]],
    twin: Any,
    shipped: Arrays,
    rows: Arrays,
) -> dict[str, dict[str, float]]:
    """Compares the twin with the float graph of its own weights, and tells how far that
    is from the artifact's `infer`; the arguments are those of `int8_twins.prove`.

    Raises:
      ParityError: with the output and how far it is off.
    """
    found = {}
    first = next(iter(runtimes.values()))
    tolerance = ROUNDED if twin.kind in ("int4", "int2") else WIDENED
    states = {"shipped": shipped, "moved": twins.moved(first, shipped)}
    for case, state in states.items():
        graph, off, cost = expected(twin, state), [], []
        for name, runtime in runtimes.items():
            runtime.run(RESTORE, dict(state))
            with baked[name](state) as served:
                for call in calls(runtime, rows):
                    outputs, infer = served.run(INFER, call), runtime.run(INFER, call)
                    x = twin.network.preprocess(
                        {name: tf.constant(value) for name, value in call.items()}
                    )
                    y = serving.serve(graph, twin.network.start(x))
                    for output, value in twin.finish(y).items():
                        off.append(
                            _off(case, output, value.numpy(), outputs, tolerance)
                        )
                        cost.append(np.abs(infer[output] - outputs[output]))
            runtime.run(RESTORE, dict(shipped))
        found[case] = {
            "error": max(off),
            "most_from_infer": float(max(one.max() for one in cost)),
            "mean_from_infer": float(np.mean([one.mean() for one in cost])),
        }
    return found


def expected(twin: Any, state: Arrays) -> Graph:
    """Returns the float graph with the weights that a state makes, as the twin has
    them."""
    sources = {**twin.making.sources, **state}
    encoded = {weight.formula: weight for weight in twin.encoded}
    weights = {}
    for name, formula in twin.making.formulas.items():
        value = formula.value(sources)
        weight = encoded.get(formula)
        weights[name] = value if weight is None else decoded(weight, value)
    return dataclasses.replace(twin.making.graph, weights=weights)


def decoded(weight: Weight, value: np.ndarray) -> np.ndarray:
    """Returns a float32 weight as it is once it was stored."""
    if weight.encoding in FLOATS:
        return value.astype(FLOATS[weight.encoding]).astype(np.float32)
    steps, scales = quantizing.steps(value, weight.scale_axes, BITS[weight.encoding])
    own = {axis % value.ndim for axis in weight.scale_axes}
    shape = [n if axis in own else 1 for axis, n in enumerate(value.shape)]
    return steps.astype(np.float32) * scales.astype(np.float32).reshape(shape)


def _off(
    case: str, output: str, value: np.ndarray, outputs: Arrays, tolerance: float
) -> float:
    off = np.nan_to_num(np.abs(outputs[output] - value), nan=np.inf).max()
    if not off <= tolerance * max(1.0, float(np.abs(value).max())):
        raise ParityError(
            f"serving twin, {case} weights, output {output!r}: it is off by {off:.3g} "
            f"what its own weights make in float32; the tolerance is {tolerance:.3g}"
        )
    return float(off)
