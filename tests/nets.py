"""Tiny nets and the artifacts made of them: each converts in about a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tf_keras
from tf_keras import layers as kl

from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.exporter.export import Exported, export
from tflite_odl.methods import Finetune, Skip

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


def mlp(shape=(4,)) -> tf_keras.Model:
    """A bias-free Dense with relu, which the converter is known to break."""
    tf_keras.utils.set_random_seed(2)
    return tf_keras.Sequential(
        [
            kl.Input(shape),
            kl.Dense(8, activation="relu", use_bias=False, name="hidden"),
            kl.Dense(CLASSES, activation="softmax", name="head"),
        ]
    )


@dataclasses.dataclass(frozen=True)
class Case:
    """A method on a net, as the contract suite runs it."""

    net: Callable[[], tf_keras.Model]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    method: type[Finetune] = Finetune


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
    "skip-shared": Case(
        conv_net,
        {"forward": "shared", "optimizer": "momentum", "update_period": 5},
        Skip,
    ),
    "skip-recompute": Case(
        conv_net,
        {
            "forward": "recompute",
            "learning_rate": 0.1,
            "gradient_ends": "probe",
            "norm_means": "batch",
        },
        Skip,
    ),
    "skip-keep-skipped": Case(
        mlp,
        {
            "learning_rate": 0.1,
            "keep_skipped": 0.5,
            "clip_norm": 0.5,
            "warm_up": 2,
            "confidence": "max",
            "divide": "kept",
        },
        Skip,
    ),
    "skip-full": Case(
        conv_net,
        {"forward": "shared", "optimizer": "momentum", "policy": "full"},
        Skip,
    ),
    "skip-selective": Case(mlp, {"policy": "selective", "optimizer": "adam"}, Skip),
    "skip-infobatch": Case(
        mlp,
        {
            "policy": "infobatch",
            "learning_rate": 0.1,
            "total_steps": 4,
            "final_full_fraction": 0.5,
        },
        Skip,
    ),
}


def method_of(name: str) -> Finetune:
    case = CASES[name]
    return case.method(case.net(), classes=("a", "b", "c"), **case.options)


def export_case(name: str) -> Exported:
    return export(method_of(name), BATCH, infer_batch_size=2)
