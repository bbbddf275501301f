"""Runs a function of tensors as a `.tflite` of builtin ops, on both runtimes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tests.exporter.runtimes import RUNTIMES
from tflite_odl.exporter.audit import audit
from tflite_odl.exporter.convert import convert


def both(function: Callable[..., dict], *calls: dict) -> list[dict[str, np.ndarray]]:
    """Returns what the file gives for each call, the same on both runtimes to the bit.

    Args:
      function: tensors by name -> {name: tensor of rank 1 or more}.
      calls: arrays by name, of the same shapes and dtypes each.
    """
    calls = [{n: np.asarray(v) for n, v in inputs.items()} for inputs in calls]
    specs = {n: tf.TensorSpec(v.shape, v.dtype, n) for n, v in calls[0].items()}
    module = tf.Module()
    module.functions = {"run": tf.function(function).get_concrete_function(**specs)}
    model = convert(module)
    audit(model, []).check()
    pairs = [("run", inputs) for inputs in calls]
    first, second = (run(model, pairs) for run in RUNTIMES.values())
    for one, other in zip(first, second, strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name], name)
    return first
