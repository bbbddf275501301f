"""Many small functions in one model, for what is proven layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from tflite_odl.exporter.compact import compact
from tflite_odl.exporter.convert import convert


class _Functions(tf.Module):
    def __init__(self, functions: Mapping) -> None:
        super().__init__()
        self.functions = dict(functions)


def converted(functions: Mapping[str, Callable]) -> Callable[[str, dict], dict]:
    """Returns what runs concrete functions in LiteRT: (name, inputs) -> outputs.

    The outputs are called output_0 and so on. The functions go through the converter
    and `compact` as an artifact does, all of them in one file.
    """
    model = compact(convert(_Functions(functions)))
    interpreter = Interpreter(model_content=model, num_threads=2)

    def run(name: str, inputs: dict) -> dict:
        return interpreter.get_signature_runner(name)(**inputs)

    return run
