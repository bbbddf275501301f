"""Optimizers as pure functions: state in, state out, with Keras' arithmetic."""

from tflite_odl.builtin.optimizers.adagrad import Adagrad
from tflite_odl.builtin.optimizers.adam import Adam, AdamW, AMSGrad
from tflite_odl.builtin.optimizers.base import RANGES, Optimizer, slot_name
from tflite_odl.builtin.optimizers.gradients import (
    SUM,
    Gathered,
    clip,
    clip_each,
    clip_values,
    gather,
    initial_sums,
    squared_norm,
)
from tflite_odl.builtin.optimizers.momentum import SGD, Momentum, Nesterov
from tflite_odl.builtin.optimizers.rmsprop import (
    RMSprop,
    RMSpropCentered,
    RMSpropMomentum,
)

__all__ = [
    "OPTIMIZERS",
    "RANGES",
    "SQUARES",
    "SUM",
    "Adam",
    "Gathered",
    "Optimizer",
    "clip",
    "clip_each",
    "clip_values",
    "gather",
    "initial_sums",
    "slot_name",
    "squared_norm",
]

# Slots that gather squares of gradients.
SQUARES = ("second_moment", "largest_second_moment", "mean_square", "square_sum")

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adam": Adam,
    "adamw": AdamW,
    "amsgrad": AMSGrad,
    "rmsprop": RMSprop,
    "rmsprop_momentum": RMSpropMomentum,
    "rmsprop_centered": RMSpropCentered,
    "adagrad": Adagrad,
}
