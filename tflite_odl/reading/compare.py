"""Whether two models compute the same; if not, the first layer that differs."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import tensorflow as tf

from tflite_odl.errors import ModelError
from tflite_odl.reading import rebuild
from tflite_odl.reading.copies import float64_copy

# Of the largest output. Both compute in float32, the terms of a sum in another order.
TOLERANCE = 1e-6
# Deep nets round by more: up to so many times the twin's own distance from float64,
# which was 1.9e-6 for an EfficientNetB0 with random statistics; never beyond the limit.
_ROUNDING, _LIMIT = 4, 1e-5
_FREE_SIZE = 32  # stands in for a size that an input leaves open


def check_same(model: Any, twin: Any) -> None:
    """Compares the outputs of a Keras 3 model and its tf_keras twin on random input.

    Raises:
      ModelError: they differ by more than rounding does; the first layer is named.
    """
    inputs = random_inputs(twin)
    if not all(np.isfinite(y).all() for y in _outputs(model, inputs)):
        # A logarithm or a root of the inputs: tell by those it is defined for.
        inputs = [np.abs(x) for x in inputs]
    error = _error(_outputs(model, inputs), _outputs(twin, inputs))
    allowed = TOLERANCE if error <= TOLERANCE else _allowed(twin, inputs)
    if not error <= allowed:
        raise ModelError(
            f"{_first_different(model, twin, inputs)} computes something else in "
            f"tf_keras: the model's outputs differ by {error:.1e} of the largest, "
            f"needs {allowed:.1e}"
        )


def _allowed(twin: Any, inputs: list[np.ndarray]) -> float:
    """Returns the tolerance for a net whose own rounding is large."""
    rounding = _error(_outputs(float64_copy(twin), inputs), _outputs(twin, inputs))
    return min(max(TOLERANCE, _ROUNDING * rounding), _LIMIT)


def random_inputs(model: Any) -> list[np.ndarray]:
    """Returns two rows for each input: floats about 0, or whole numbers 0 and 1, the
    first of a sequence 1: of one that is masked whole, a mean would be 0 / 0."""
    whole = {
        id(tensor)
        for call in rebuild.calls(model)
        for tensor in tf.nest.flatten(call.args)
        if type(call.layer).__name__ == "Embedding"
    }
    random = np.random.default_rng(0)
    found = []
    for tensor in rebuild.graph(model).inputs:
        shape = [2, *(size or _FREE_SIZE for size in tensor.shape[1:])]
        real = tensor.dtype.is_floating and id(tensor) not in whole
        rows = random.normal(size=shape) if real else _bits(random, shape)
        found.append(rows.astype(tensor.dtype.name))
    return found


def _bits(random: np.random.Generator, shape: list[int]) -> np.ndarray:
    rows = random.integers(0, 2, shape)
    if rows.ndim > 1:
        rows[:, 0] = 1
    return rows


def _outputs(model: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    given = rebuild.given(model, inputs)
    try:
        found = model(given, training=False)
    except tf.errors.OpError as error:
        raise ModelError(
            f"model {model.name!r} cannot be run here by its own Keras, so that "
            f"nothing could be compared with it: {error.message}"
        ) from error
    return [np.asarray(y) for y in tf.nest.flatten(found)]


def _error(want: list[np.ndarray], have: list[np.ndarray]) -> float:
    """Returns the largest difference relative to the largest entry of its output."""
    return max(
        float(np.max(np.abs(a - b)) / max(np.max(np.abs(a)), 1e-30))
        if a.shape == b.shape
        else float("inf")
        for a, b in zip(want, have, strict=True)
    )


def _first_different(model: Any, twin: Any, inputs: list[np.ndarray]) -> str:
    """Returns "layer 'name' (Class)" of the first call whose outputs differ."""
    ours, theirs = _calls(twin), _calls(model)
    for key, call in theirs.items():
        want = _outputs(_until(model, call), inputs)
        have = _outputs(_until(twin, ours[key]), inputs)
        if _error(want, have) > TOLERANCE:
            return f"layer {call.layer.name!r} ({type(call.layer).__name__})"
    return f"model {model.name!r}"


def _calls(model: Any) -> dict[tuple[str, int], rebuild.Call]:
    """Returns the calls by layer name and how often the layer was called before."""
    seen: collections.Counter[str] = collections.Counter()
    found = {}
    for call in rebuild.calls(model):
        found[call.layer.name, seen[call.layer.name]] = call
        seen[call.layer.name] += 1
    return found


def _until(model: Any, call: rebuild.Call) -> Any:
    """Returns the part of a model that computes a call's outputs."""
    source = rebuild.graph(model)
    functional = next(
        base
        for base in type(source).__mro__
        if base.__name__ in ("Functional", "Model")
    )
    inputs = source.inputs if len(source.inputs) > 1 else source.inputs[0]
    return functional(inputs, list(call.outputs))
