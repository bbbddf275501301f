"""Losses: what a label is, value and gradient, what the model's outputs mean."""

from tflite_odl.builtin.losses.base import Labels, Loss
from tflite_odl.builtin.losses.cross_entropy import (
    BinaryCrossEntropy,
    SparseCrossEntropy,
)
from tflite_odl.builtin.losses.squared_error import MeanSquaredError

__all__ = ["LOSSES", "Labels", "Loss"]

LOSSES: dict[str, type[Loss]] = {
    "sparse_cross_entropy": SparseCrossEntropy,
    "binary_cross_entropy": BinaryCrossEntropy,
    "mean_squared_error": MeanSquaredError,
}
