"""Losses: what a label is, value and gradient, what the model's outputs mean."""

from tflite_odl.builtin.losses.base import OPTIONS, Labels, Loss
from tflite_odl.builtin.losses.cross_entropy import (
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    SparseCrossEntropy,
)
from tflite_odl.builtin.losses.regression import (
    CosineSimilarity,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
)
from tflite_odl.builtin.losses.several import Several, label_name

__all__ = ["LOSSES", "OPTIONS", "Labels", "Loss", "Several", "label_name"]

LOSSES: dict[str, type[Loss]] = {
    "sparse_cross_entropy": SparseCrossEntropy,
    "categorical_cross_entropy": CategoricalCrossEntropy,
    "binary_cross_entropy": BinaryCrossEntropy,
    "mean_squared_error": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "huber": Huber,
    "cosine_similarity": CosineSimilarity,
}
