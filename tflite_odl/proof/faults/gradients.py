"""Faults in one tensor's gradient, or in the gradient of the loss."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.losses import Several, cross_entropy
from tflite_odl.builtin.tape import Tape
from tflite_odl.methods import finetune
from tflite_odl.methods.supervised import Supervised
from tflite_odl.proof.faults.fault import Fault, answer, given

Sparse, Binary = cross_entropy.SparseCrossEntropy, cross_entropy.BinaryCrossEntropy


def scaled(name: str, net: str, tensor: str, factor) -> Fault:
    """Returns the fault that one tensor's gradient is multiplied by a factor, or by a
    function of its shape."""

    def change(gradients: dict) -> dict:
        gradient = gradients[tensor]
        by = factor(gradient.shape) if callable(factor) else factor
        return {**gradients, tensor: gradient * np.float32(by)}

    return Fault(name, net, Tape, "backward", answer(change))


def _slanted(size: float, at: int = 1):
    """Returns shape -> ones, and `size` in one column."""

    def factor(shape) -> np.ndarray:
        ones = np.ones(shape[-1])
        ones[at] = size
        return ones

    return factor


def _one_entry(shape) -> np.ndarray:
    ones = np.ones(shape)
    ones.flat[1] = 0
    return ones


def _loss(change) -> object:
    return answer(lambda found, loss, z, y, share: change(*found, y, share))


def _one_class(loss, gradient, y, share):
    factor = 1 + 0.05 * tf.cast(tf.equal(y, 3), tf.float32)
    return loss, gradient * factor[:, tf.newaxis]


def _last_row(loss, gradient, y, share):
    factor = np.ones((gradient.shape[0], 1), np.float32)
    factor[0] = 0.95
    return loss, gradient * factor


def _renamed(outcome, *outputs):
    return dataclasses.replace(outcome, outputs={**outcome.outputs, **outputs[0]})


def _with_output(name: str, value):
    def change(outcome):
        return _renamed(outcome, {name: value(outcome.outputs)})

    return answer(change)


def _unweighted(loss, z, y, share):
    return (
        dataclasses.replace(loss, weights=dict.fromkeys(loss.weights, 1)),
        z,
        y,
        share,
    )


FAULTS = (
    Fault(
        "an output's weight left out", "outputs", Several, "value", given(_unweighted)
    ),
    scaled("a kernel's gradient 1 % too large", "image", "conv_kernel", 1.01),
    scaled("a kernel's gradient .1 % too large", "image", "conv_kernel", 1.001),
    scaled("a kernel that never learns", "image", "conv_kernel", 0),
    scaled("a kernel's gradient negated", "image", "depthwise_kernel", -1),
    scaled("one column .1 % too large", "image", "head_kernel", _slanted(1.001)),
    scaled("one column missing", "image", "head_kernel", _slanted(0)),
    scaled("one entry missing", "image", "conv_kernel", _one_entry),
    scaled("a bias 1 % too large", "image", "head_bias", 1.01),
    scaled("gamma .1 % too large", "image", "norm_gamma", 1.001),
    scaled("beta that never learns", "image", "norm_beta", 0),
    scaled("raw pixels: the first kernel never learns", "pixels", "conv_kernel", 0),
    scaled("raw pixels: its gradient negated", "pixels", "conv_kernel", -1),
    scaled("raw pixels: its gradient tripled", "pixels", "conv_kernel", 3),
    scaled("raw pixels: its gradient 1 % too large", "pixels", "conv_kernel", 1.01),
    scaled("tiny rate: a kernel never learns", "slow", "hidden_kernel", 0),
    scaled("tiny rate: a gradient negated", "slow", "hidden_kernel", -1),
    scaled("tiny rate: a gradient 1 % too large", "slow", "head_bias", 1.01),
    Fault(
        "the loss .01 % too large",
        "dense",
        finetune.Finetune,
        "train",
        _with_output("loss", lambda outputs: outputs["loss"] * 1.0001),
    ),
    Fault("one class's rows 5 % off", "classes", Sparse, "value", _loss(_one_class)),
    Fault("one row's gradient 5 % off", "classes", Sparse, "value", _loss(_last_row)),
    Fault(
        "class weights left out of the gradient",
        "weights",
        Binary,
        "value",
        _loss(lambda loss, gradient, y, share: (loss, gradient / (0.5, 1.0, 2.0))),
    ),
    Fault(
        "a norm that is not the gradient's",
        "dense",
        finetune.Finetune,
        "train",
        _with_output("gradient_norm", lambda o: o["gradient_norm"] * 1.001),
    ),
    Fault(
        "an output that nothing is compared with",
        "dense",
        Supervised,
        "outcome",
        _with_output("threshold", lambda outputs: outputs["loss"] * np.nan),
    ),
    Fault(
        "an output of evaluate that nothing is compared with",
        "dense",
        Supervised,
        "evaluate",
        _with_output("margin", lambda outputs: outputs["loss"] * 2.0),
    ),
)
