"""Faults of one line that the gate must find, put into a graph while it is traced."""

from tflite_odl.proof.faults import (
    distilling,
    gradients,
    layers,
    learning,
    rows,
    sequences,
    skipping,
)
from tflite_odl.proof.faults.fault import Fault

__all__ = ["FAULTS", "Fault"]

FAULTS: tuple[Fault, ...] = (
    *distilling.FAULTS,
    *gradients.FAULTS,
    *layers.FAULTS,
    *learning.FAULTS,
    *rows.FAULTS,
    *sequences.FAULTS,
    *skipping.FAULTS,
)
