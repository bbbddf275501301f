"""Tiny nets and the artifacts made of them: each converts in about a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tf_keras
from tf_keras import layers as kl

from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.builtin.schedules import Schedule
from tflite_odl.exporter.export import Exported, export
from tflite_odl.methods import Finetune

BATCH = 6
CLASSES = 3


def conv_net(shape=(6, 6, 2)) -> tf_keras.Model:
    """Convolution, depthwise, batch norms, a residual sum, relu6: every core op."""
    tf_keras.utils.set_random_seed(1)
    inputs = kl.Input(shape)
    x = kl.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(inputs)
    x = kl.ReLU(name="relu")(kl.BatchNormalization(name="norm")(x))
    y = kl.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    y = kl.ReLU(6.0, name="relu6")(kl.BatchNormalization(name="norm2")(y))
    x = kl.Add(name="add")([x, y])
    x = kl.Conv2D(5, 3, strides=2, activation="relu", name="conv2")(x)
    x = kl.GlobalAveragePooling2D(name="pool")(x)
    return tf_keras.Model(inputs, kl.Dense(CLASSES, name="head")(x))


def mlp(ending="softmax", shape=(4,)) -> tf_keras.Model:
    """A bias-free Dense with relu, which the converter is known to break."""
    tf_keras.utils.set_random_seed(2)
    return tf_keras.Sequential(
        [
            kl.Input(shape),
            kl.Dense(8, activation="relu", use_bias=False, name="hidden"),
            kl.Dense(CLASSES, activation=ending, name="head"),
        ]
    )


def two_inputs() -> tf_keras.Model:
    """An image and a vector that meet in a sum; linear outputs."""
    tf_keras.utils.set_random_seed(3)
    image, side = kl.Input((4, 4, 2), name="x"), kl.Input((3,), name="side-vector")
    a = kl.Conv2D(5, 3, use_bias=False, name="conv")(image)
    a = kl.ReLU(name="relu")(kl.BatchNormalization(name="norm")(a))
    a = kl.GlobalAveragePooling2D(name="pool")(a)
    b = kl.Dense(5, activation="relu", name="dense")(side)
    joined = kl.Add(name="sum")([a, b])
    return tf_keras.Model([image, side], kl.Dense(CLASSES, name="head")(joined))


@dataclasses.dataclass(frozen=True)
class Case:
    """A method on a net, as the contract suite runs it."""

    net: Callable[[], tf_keras.Model]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


CASES = {
    "finetune-sgd": Case(conv_net, {"learning_rate": 0.1}),
    "finetune-adam-clip-noise": Case(
        conv_net, {"optimizer": "adam", "clip_norm": 0.5, "noise": 0.1}
    ),
    "finetune-momentum-uint8": Case(
        conv_net,
        {
            "optimizer": "momentum",
            "batch_norm": "frozen",
            "preprocessing": Preprocessing("uint8", 1 / 127.5, (-1.0, -0.9)),
        },
    ),
    "finetune-head": Case(conv_net, {"trainable": "head"}),
    "finetune-regex": Case(conv_net, {"trainable": "norm2|^conv2$"}),
    "finetune-mlp": Case(mlp, {"learning_rate": 0.1}),
    "finetune-nesterov-cosine-accumulate": Case(
        conv_net,
        {
            "optimizer": "nesterov",
            "learning_rate": 0.05,
            "schedule": Schedule("cosine", warmup_steps=2, decay_steps=40),
            "accumulate": 2,
            "clip_norm": 0.5,
        },
    ),
    "finetune-adamw-binary-weights": Case(
        lambda: mlp("sigmoid"),
        {
            "optimizer": "adamw",
            "learning_rate": 0.05,
            "hyperparameters": {"weight_decay": 0.1},
            "loss": "binary_cross_entropy",
            "label_smoothing": 0.1,
            "class_weights": (0.5, 1, 2),
            "sample_weights": True,
        },
    ),
    "finetune-rmsprop-weights-steps-accumulate": Case(
        mlp,
        {
            "optimizer": "rmsprop",
            "learning_rate": 0.02,
            "schedule": Schedule("step", warmup_steps=1, decay_steps=20),
            "accumulate": 3,
            "label_smoothing": 0.1,
            "class_weights": (0.5, 1, 2),
            "sample_weights": True,
        },
    ),
    "finetune-centered-rmsprop-warmup": Case(
        mlp,
        {
            "optimizer": "rmsprop_centered",
            "learning_rate": 0.01,
            "schedule": Schedule(warmup_steps=2),
        },
    ),
    "finetune-two-inputs-regression": Case(
        two_inputs,
        {
            "optimizer": "rmsprop_momentum",
            "learning_rate": 0.003,
            "schedule": Schedule("exponential", decay_steps=20),
            "loss": "mean_squared_error",
            "noise": 0.1,
            "preprocessing": {"side_vector": Preprocessing("uint8", 1 / 127.5, -1.0)},
        },
    ),
}


def method_of(name: str) -> Finetune:
    case = CASES[name]
    return Finetune(case.net(), classes=("a", "b", "c"), **case.options)


def export_case(name: str) -> Exported:
    return export(method_of(name), BATCH, infer_batch_size=2)
