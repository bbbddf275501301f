"""What a saved model was compiled with, in the words of a method's configuration."""

from tflite_odl.reading.compiled.compiled import (
    Compiled,
    note_on_tables,
    of_file,
    of_model,
)
from tflite_odl.reading.compiled.losses import CompiledLoss
from tflite_odl.reading.compiled.state import OptimizerState

__all__ = [
    "Compiled",
    "CompiledLoss",
    "OptimizerState",
    "note_on_tables",
    "of_file",
    "of_model",
]
