"""Nets that faults show in, each converted in half a second or so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tf_keras
from tf_keras import layers as kl

from tests import nets
from tests.nets import CLASSES, mlp
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.builtin.schedules import Schedule
from tflite_odl.methods import Contrastive, Distill, Finetune, Skip


def sequential(*layers, shape) -> tf_keras.Model:
    tf_keras.utils.set_random_seed(5)
    return tf_keras.Sequential([kl.Input(shape), *layers])


def image() -> tf_keras.Model:
    return sequential(
        kl.Conv2D(4, 3, use_bias=False, name="conv"),
        kl.BatchNormalization(name="norm"),
        kl.ReLU(name="relu"),
        kl.DepthwiseConv2D(2, name="depthwise"),
        kl.GlobalAveragePooling2D(name="pool"),
        kl.Dense(CLASSES, name="head"),
        shape=(5, 5, 2),
    )


def image_of_three() -> tf_keras.Model:
    return sequential(
        kl.Conv2D(6, 3, use_bias=False, name="conv"),
        kl.BatchNormalization(name="norm"),
        kl.ReLU(name="relu"),
        kl.GlobalAveragePooling2D(name="pool"),
        kl.Dense(CLASSES, name="head"),
        shape=(6, 6, 3),
    )


def windows() -> tf_keras.Model:
    return sequential(
        kl.Conv1D(6, 3, name="conv"),
        kl.ReLU(name="relu"),
        kl.GlobalAveragePooling1D(name="pool"),
        kl.Dense(CLASSES, name="head"),
        shape=(8, 3),
    )


def six() -> tf_keras.Model:
    """Half of what relu6 is given is above 6."""
    hidden = kl.Dense(
        8, name="hidden", bias_initializer=tf_keras.initializers.Constant(6)
    )
    return sequential(hidden, kl.ReLU(6.0), kl.Dense(CLASSES), shape=(4,))


def ties() -> tf_keras.Model:
    """Of binary images, negative pixels of a window tie at first; each has an alpha."""
    quarter = tf_keras.initializers.Constant(0.25)
    return sequential(
        kl.PReLU(alpha_initializer=quarter, name="prelu"),
        kl.MaxPooling2D(2, name="max"),
        kl.Flatten(),
        kl.Dense(CLASSES, name="head"),
        shape=(6, 6, 1),
    )


def average() -> tf_keras.Model:
    return sequential(
        kl.Conv2D(3, 1, name="conv"),
        kl.AveragePooling2D(3, 2, "same", name="average"),
        kl.Flatten(),
        kl.Dense(CLASSES, name="head"),
        shape=(4, 4, 2),
    )


def dropout() -> tf_keras.Model:
    return sequential(
        kl.Dense(8, name="hidden"),
        kl.Dropout(0.25),
        kl.Dense(8, name="hidden2"),
        kl.Dropout(0.25),
        kl.Dense(CLASSES, name="head"),
        shape=(4,),
    )


def ten() -> tf_keras.Model:
    return sequential(
        kl.Dense(8, activation="relu", name="hidden"),
        kl.Dense(10, name="head"),
        shape=(6,),
    )


def three() -> tf_keras.Model:
    """The layer in the middle is binary, and its weights beyond a bound are many."""
    return sequential(
        kl.Dense(9, use_bias=False, name="first"),
        kl.BatchNormalization(name="norm"),
        kl.Dense(8, name="middle"),
        kl.ReLU(name="relu"),
        kl.Dense(CLASSES, name="head"),
        shape=(5,),
    )


def binary_images() -> tuple[np.ndarray, np.ndarray]:
    """Returns (x, y): pixels of 1 and -1."""
    rng = np.random.default_rng(0)
    x = np.sign(rng.normal(size=(64, 6, 6, 1)) - 0.5).astype(np.float32)
    return x, rng.integers(0, CLASSES, 64).astype(np.int32)


@dataclasses.dataclass(frozen=True)
class Net:
    """A method on a net, at a batch size, proven with a sample or random rows."""

    make: Callable[[], tf_keras.Model]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    method: type = Finetune
    batch: int = 6
    sample: Callable[[], Any] = lambda: None

    def of(self):
        options = nets.with_loss(self.method, self.options)
        return self.method(self.make(), **options)


RATE = {"learning_rate": 0.1}
SMALL = {**RATE, **nets.CONTRASTIVE}
UINT8 = {"preprocessing": Preprocessing("uint8", 1 / 127.5, -1.0)}
NETS = {
    "dense": Net(mlp, RATE),
    "image": Net(image, RATE),
    "six": Net(six, RATE),
    "ties": Net(ties, RATE, sample=binary_images),
    "average": Net(average, RATE),
    "pixels": Net(image, {"preprocessing": Preprocessing("uint8")}),
    "scaled": Net(mlp, {**RATE, "preprocessing": Preprocessing("uint8", 1 / 255)}),
    "slow": Net(mlp, {"learning_rate": 1e-7}),
    "classes": Net(ten, RATE, batch=4),
    "adam": Net(mlp, {"optimizer": "adam"}),
    "momentum": Net(mlp, {"optimizer": "momentum", **RATE}),
    "rmsprop": Net(mlp, {"optimizer": "rmsprop"}),
    "clip": Net(mlp, {**RATE, "clip_norm": 0.05}),
    "group": Net(
        mlp,
        {
            **RATE,
            "optimizer": "nesterov",
            "accumulate": 3,
            "schedule": Schedule("cosine", warmup_steps=2, decay_steps=40),
        },
    ),
    "weights": Net(
        lambda: mlp("sigmoid"),
        {
            "optimizer": "adamw",
            "learning_rate": 0.05,
            "hyperparameters": {"weight_decay": 0.1},
            "loss": "binary_cross_entropy",
            "class_weights": (0.5, 1, 2),
            "sample_weights": True,
        },
    ),
    "noise": Net(nets.two_inputs, {**RATE, "noise": 0.1}),
    "dropout": Net(dropout, RATE),
    "chunks": Net(image, {**RATE, "chunk_mb": 0.0004}),
    "distill": Net(three, RATE, Distill),
    "penalized": Net(nets.penalized_net, RATE),
    "contrast": Net(image_of_three, {**SMALL, **UINT8}, Contrastive),
    "contrast-min-red": Net(
        windows, {**SMALL, "buffer_policy": "min_red"}, Contrastive
    ),
    "contrast-reservoir": Net(
        windows, {**SMALL, "buffer_policy": "reservoir"}, Contrastive
    ),
    "contrast-flip": Net(
        image_of_three,
        {
            **SMALL,
            **UINT8,
            "buffer_policy": "flip_score",
            "rescore_every": 1,
            "neighbours": 3,
        },
        Contrastive,
    ),
    "skip": Net(mlp, {**RATE, "update_period": 5}, Skip),
    "skip-kept": Net(
        mlp,
        {**RATE, "keep_skipped": 0.5, "divide": "kept", "warm_up": 3},
        Skip,
    ),
}
