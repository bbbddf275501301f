"""Faults of one line that the gate must find, put into a graph while it is traced."""

from tflite_odl.proof.faults import (
    contrasting,
    distilling,
    gradients,
    layers,
    learning,
    penalties,
    rows,
    sequences,
    skipping,
)
from tflite_odl.proof.faults.fault import Fault

__all__ = ["FAULTS", "Fault"]

FAULTS: tuple[Fault, ...] = (
    *contrasting.FAULTS,
    *distilling.FAULTS,
    *gradients.FAULTS,
    *layers.FAULTS,
    *learning.FAULTS,
    *penalties.FAULTS,
    *rows.FAULTS,
    *sequences.FAULTS,
    *skipping.FAULTS,
)
