"""Tiny nets and the artifacts made of them: each converts in about a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tflite_odl.builtin.augment import ImageAugmentation
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.builtin.schedules import Schedule
from tflite_odl.exporter import recipes
from tflite_odl.exporter.export import Exported, export
from tflite_odl.methods import Contrastive, Distill, Finetune, Skip
from tflite_odl.methods.base import Method
from tflite_odl.methods.config import SupervisedConfig
from tflite_odl.methods.skip.config import PUBLISHED
from tflite_odl.models import backbone

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


def gated_net(shape=(6, 6, 3)) -> tf_keras.Model:
    """Squeeze and excite, smooth activations, merges, shapes, TensorFlow functions."""
    tf_keras.utils.set_random_seed(3)
    inputs = kl.Input(shape)
    x = kl.Rescaling(0.5, 0.1)(inputs)
    x = kl.Conv2D(8, 3, padding="same", activation="swish", name="conv")(x)
    gate = kl.GlobalAveragePooling2D(keepdims=True)(x)
    gate = kl.Conv2D(4, 1, activation="gelu", name="squeeze")(gate)
    gate = kl.Conv2D(8, 1, activation="sigmoid", name="excite")(gate)
    x = kl.Multiply()([x, gate])
    y = x * (tf.nn.relu6(x + 3.0) * (1 / 6))
    x = kl.Concatenate()([kl.Cropping2D(1)(x), y[:, 1:5, 2:]])
    x = kl.Average()([kl.PReLU(shared_axes=[1, 2], name="prelu")(x), x])
    x = kl.Subtract()([kl.UpSampling2D(2)(x[:, ::2, 1::2]), kl.Permute((2, 1, 3))(x)])
    grown = kl.UpSampling2D(2, interpolation="bilinear")(x)
    x = kl.Maximum()([x, kl.LeakyReLU(0.1)(grown)[:, ::2, 1:5]])
    x = kl.GlobalAveragePooling2D()(kl.Activation("elu")(x))
    return tf_keras.Model(inputs, kl.Dense(CLASSES, name="head")(x))


def noisy_net(shape=(5, 4, 3)) -> tf_keras.Model:
    """Every kind of dropout, and the normalizations of a row by itself."""
    tf_keras.utils.set_random_seed(4)
    inputs = kl.Input(shape)
    x = kl.Conv2D(8, 3, padding="same", name="conv")(kl.GaussianNoise(0.1)(inputs))
    x = kl.ReLU()(kl.GroupNormalization(4, name="groups")(x))
    y = kl.Dropout(0.2, noise_shape=(None, 1, 1, 1))(kl.SpatialDropout2D(0.3)(x))
    x = kl.Add()([x, y])  # a row of zeros would make a huge gradient further down
    x = kl.Reshape((10, 16))(kl.GaussianDropout(0.1)(x))
    x = kl.LayerNormalization(name="layers")(kl.Dense(16, name="hidden")(x))
    drop = kl.Dropout(0.4)
    x = kl.Add()([drop(x), drop(kl.Activation("tanh")(x))])
    x = kl.UnitNormalization()(kl.Flatten()(x))
    return tf_keras.Model(inputs, kl.Dense(CLASSES, name="head")(x))


def window_net(shape=(7, 8, 2)) -> tf_keras.Model:
    """Windows of every kind: pooled, grouped, dilated, transposed, separable."""
    tf_keras.utils.set_random_seed(3)
    return tf_keras.Sequential(
        [
            kl.Input(shape),
            kl.Conv2D(4, 3, activation="relu", padding="same", name="conv"),
            kl.MaxPooling2D(3, 2, "same", name="max"),
            kl.Conv2D(4, 2, dilation_rate=2, padding="same", name="dilated"),
            kl.Conv2D(6, 2, groups=2, activation="relu", name="grouped"),
            kl.Conv2DTranspose(2, 3, 2, activation="relu", name="transposed"),
            kl.AveragePooling2D(2, 1, "same", name="average"),
            kl.SeparableConv2D(5, 2, 2, depth_multiplier=2, name="separable"),
            kl.GlobalMaxPooling2D(name="pool"),
            kl.Dense(CLASSES, name="head"),
        ]
    )


def strided_net(shape=(8, 8, 2)) -> tf_keras.Model:
    """Strides of 2 over even sizes, as MobileNet and ResNet have them."""
    tf_keras.utils.set_random_seed(3)
    return tf_keras.Sequential(
        [
            kl.Input(shape),
            kl.Conv2D(9, 3, 2, activation="relu", padding="same", name="conv"),
            kl.DepthwiseConv2D(3, 2, activation="relu", padding="same", name="deep"),
            kl.GlobalAveragePooling2D(name="pool"),
            kl.Dense(CLASSES, name="head"),
        ]
    )


def sequence_net(shape=(12, 2)) -> tf_keras.Model:
    """The same over time."""
    tf_keras.utils.set_random_seed(4)
    return tf_keras.Sequential(
        [
            kl.Input(shape),
            kl.Conv1D(
                4, 3, padding="causal", dilation_rate=2, use_bias=False, name="conv"
            ),
            kl.BatchNormalization(name="norm"),
            kl.ReLU(name="relu"),
            kl.MaxPooling1D(2, name="max"),
            kl.SeparableConv1D(4, 3, padding="same", name="separable"),
            kl.Conv1DTranspose(3, 2, 2, activation="relu", name="transposed"),
            kl.AveragePooling1D(3, 2, "same", name="average"),
            kl.GlobalAveragePooling1D(name="pool"),
            kl.Dense(CLASSES, name="head"),
        ]
    )


def places_net(ending="softmax", shape=(4, 6, 2)) -> tf_keras.Model:
    """A class of every pixel: down, up again, and a convolution of size 1."""
    tf_keras.utils.set_random_seed(6)
    inputs = kl.Input(shape)
    x = kl.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(inputs)
    x = kl.ReLU(name="relu")(kl.BatchNormalization(name="norm")(x))
    y = kl.Conv2D(5, 3, 2, "same", activation="relu", name="down")(x)
    x = kl.Concatenate(name="skip")([kl.UpSampling2D(2, name="up")(y), x])
    return tf_keras.Model(inputs, kl.Conv2D(CLASSES, 1, activation=ending)(x))


def binary_net(shape=(6, 6, 2)) -> tf_keras.Model:
    """Binary layers with shortcuts: one stage of Bi-Real blocks, real at both ends."""
    tf_keras.utils.set_random_seed(5)
    inputs = kl.Input(shape)
    x = kl.Conv2D(4, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = kl.ReLU(name="relu")(kl.BatchNormalization(name="norm")(x))
    y = kl.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(x)
    x = kl.Add(name="add")([x, kl.BatchNormalization(name="norm2")(y)])
    y = kl.AveragePooling2D(2, name="shrink")(kl.ReLU(name="relu2")(x))
    y = kl.Conv2D(4, 3, padding="same", use_bias=False, name="conv2")(y)
    y = kl.ReLU(name="relu3")(kl.BatchNormalization(name="norm3")(y))
    x = kl.GlobalAveragePooling2D(name="pool")(y)
    return tf_keras.Model(inputs, kl.Dense(CLASSES, name="head")(x))


def carried_net(shape=(5,)) -> tf_keras.Model:
    """A frozen Embedding that masks, two frozen loops, and a head that learns."""
    tf_keras.utils.set_random_seed(6)
    inputs = kl.Input(shape, dtype="int32")
    x = kl.Embedding(9, 4, mask_zero=True, name="table")(inputs)
    x = kl.Bidirectional(kl.GRU(3, return_sequences=True), name="both")(x)
    x = kl.RNN(kl.LSTMCell(4), name="loop")(x)
    return tf_keras.Model(inputs, kl.Dense(CLASSES, name="head")(x))


def penalized_net(activities=True) -> tf_keras.Model:
    """Penalties on weights and activations, and every constraint."""
    tf_keras.utils.set_random_seed(6)
    of, kinds = tf_keras.regularizers, tf_keras.constraints
    on_output = {"activity_regularizer": of.L1L2(0.02, 0.05)} if activities else {}
    layers = [
        kl.Conv2D(
            4,
            3,
            use_bias=False,
            kernel_regularizer=of.L1L2(0.01, 0.03),
            kernel_constraint=kinds.MinMaxNorm(0.5, 1.0, 0.5, axis=[0, 1, 2]),
            name="conv",
        ),
        kl.BatchNormalization(name="norm"),
        kl.ReLU(name="relu"),
        kl.GlobalAveragePooling2D(name="pool"),
        kl.Dense(
            5,
            "tanh",
            kernel_constraint=kinds.MaxNorm(0.5),
            bias_constraint=kinds.NonNeg(),
            name="hidden",
            **on_output,
        ),
        kl.Dense(
            CLASSES,
            kernel_regularizer="l2",
            kernel_constraint=kinds.UnitNorm(),
            name="head",
        ),
    ]
    return tf_keras.Sequential([kl.Input((5, 5, 2)), *layers])


def text_net(shape=(4,)) -> tf_keras.Model:
    """Tokens, masked: a table, both ways, attention with dropout, one way."""
    tf_keras.utils.set_random_seed(7)
    inputs = kl.Input(shape, dtype="int32")
    x = kl.Embedding(9, 4, mask_zero=True, name="table")(inputs)
    x = kl.Bidirectional(kl.LSTM(3, return_sequences=True), name="both")(x)
    x = kl.Add()([x, kl.MultiHeadAttention(2, 3, dropout=0.1, name="heads")(x, x)])
    x = kl.GRU(4, name="last")(kl.LayerNormalization(name="norm")(x))
    return tf_keras.Model(inputs, kl.Dense(CLASSES, name="head")(x))


def recurrent_net(shape=(3, 4, 2)) -> tf_keras.Model:
    """A convolution at every step, then a loop over the steps that are not masked."""
    tf_keras.utils.set_random_seed(8)
    inputs = kl.Input(shape)
    x = kl.TimeDistributed(kl.Conv1D(3, 2, activation="relu"), name="each")(inputs)
    x = kl.Masking(name="masking")(kl.TimeDistributed(kl.Flatten())(x))
    x = kl.LSTM(3, name="loop")(x)
    return tf_keras.Model(inputs, kl.Dense(CLASSES, name="head")(x))


class FrozenTeacher(Distill):
    """`distill` with a teacher of its own, which stays frozen."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, teacher="frozen", teacher_model=conv_net(), **options)


# Small ones, so that a buffer is full after a few steps.
CONTRASTIVE = {"buffer": 8, "enroll": 6, "projector_width": 8, "projection": 6}


@dataclasses.dataclass(frozen=True)
class Case:
    """A method on a net, as the contract suite runs it."""

    net: Callable[[], tf_keras.Model]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    method: type[Method] = Finetune
    quantize: str = "float32"


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
    "finetune-strides": Case(strided_net, {"learning_rate": 0.1}),
    "finetune-head": Case(conv_net, {"trainable": "head"}),
    "finetune-chunks": Case(conv_net, {"learning_rate": 0.1, "chunk_mb": 0.0007}),
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
    "finetune-amsgrad-limits-polynomial": Case(
        mlp,
        {
            "optimizer": "amsgrad",
            "learning_rate": 0.02,
            "hyperparameters": {"weight_decay": 0.1},
            "schedule": Schedule(
                "polynomial", 2, 40, final_rate=0.1, decay_power=2.0, first_rate=0.1
            ),
            "clip_value": 0.05,
            "clip_weight_norm": 0.1,
            "clip_norm": 0.12,
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
            "chunk_mb": 0.0002,
            "preprocessing": {"side_vector": Preprocessing("uint8", 1 / 127.5, -1.0)},
        },
    ),
    "finetune-gated": Case(gated_net, {"learning_rate": 0.1}),
    "finetune-places": Case(
        places_net,
        {"learning_rate": 0.1, "class_weights": (0.5, 1, 2), "sample_weights": True},
    ),
    "finetune-noisy": Case(noisy_net, {"learning_rate": 0.1}),
    "finetune-carried": Case(carried_net, {"learning_rate": 0.1, "trainable": "head"}),
    "finetune-text": Case(text_net, {"learning_rate": 0.1, "optimizer": "adam"}),
    "skip-recurrent": Case(recurrent_net, {"learning_rate": 0.1, **PUBLISHED}, Skip),
    "skip-shared": Case(
        conv_net,
        {
            "forward": "shared",
            "optimizer": "momentum",
            "update_period": 5,
            **PUBLISHED,
        },
        Skip,
    ),
    "skip-recompute": Case(
        conv_net,
        {
            "forward": "recompute",
            "learning_rate": 0.1,
            "gradient_ends": "probe",
            "norm_means": "batch",
            "spacing": "geometric",
            "intervals": 60,  # the third one begins at .28: a new net reaches several
            "chunk_mb": 0.0007,
        },
        Skip,
    ),
    "skip-defaults": Case(conv_net, {"learning_rate": 0.1}, Skip),
    "skip-chunks": Case(
        conv_net, {"learning_rate": 0.1, "chunk_mb": 0.0007, **PUBLISHED}, Skip
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
            **PUBLISHED,
        },
        Skip,
    ),
    "skip-noisy": Case(
        noisy_net, {"learning_rate": 0.1, "chunk_mb": 0.0007, **PUBLISHED}, Skip
    ),
    "skip-accumulate": Case(
        conv_net,
        {
            "optimizer": "momentum",
            "learning_rate": 0.1,
            "accumulate": 3,
            "clip_norm": 0.5,
            "schedule": Schedule("cosine", decay_steps=40),
        },
        Skip,
    ),
    "skip-frozen": Case(
        two_inputs,
        {
            "learning_rate": 0.1,
            "trainable": "^(dense|head)",
            "forward": "shared",
            **PUBLISHED,
        },
        Skip,
    ),
    "skip-full": Case(
        conv_net,
        {
            "forward": "shared",
            "optimizer": "momentum",
            "policy": "full",
            **PUBLISHED,
        },
        Skip,
    ),
    "skip-selective": Case(
        mlp, {"policy": "selective", "optimizer": "adam", **PUBLISHED}, Skip
    ),
    "skip-infobatch": Case(
        mlp,
        {
            "policy": "infobatch",
            "learning_rate": 0.1,
            "total_steps": 4,
            "final_full_fraction": 0.5,
            **PUBLISHED,
        },
        Skip,
    ),
    "finetune-windows": Case(
        window_net, {"learning_rate": 0.1, "trainable": "^(?!dilated)"}
    ),
    "distill-online": Case(
        binary_net, {"optimizer": "sgd", "learning_rate": 0.05}, Distill
    ),
    "distill-frozen": Case(
        binary_net,
        {
            "optimizer": "momentum",
            "noise": 0.1,
            "chunk_mb": 0.0007,
            "standardize": True,
            "sample_weights": True,
        },
        FrozenTeacher,
    ),
    "distill-int4-adam-cosine": Case(
        conv_net,
        {
            "student": "int4",
            "optimizer": "adam",
            "schedule": Schedule("cosine", warmup_steps=2, decay_steps=40),
            "clip_norm": 0.5,
            "accumulate": 2,
            "label_smoothing": 0.1,
            "class_weights": (0.5, 1, 2),
        },
        Distill,
    ),
    "distill-ternary-noisy": Case(
        noisy_net,
        {
            "student": "Dense:wta4,hidden:wta4",
            "optimizer": "sgd",
            "learning_rate": 0.05,
            "temperature": "learnable",
            "cosine_steps": 40,
        },
        Distill,
    ),
    "finetune-penalized": Case(
        penalized_net, {"optimizer": "momentum", "chunk_mb": 0.0005, "accumulate": 2}
    ),
    "skip-penalized": Case(lambda: penalized_net(False), {"learning_rate": 0.1}, Skip),
    "distill-penalized": Case(
        lambda: penalized_net(False),
        {"student": "int4", "optimizer": "sgd", "learning_rate": 0.05},
        Distill,
    ),
    "finetune-conv3": Case(
        lambda: conv_net((6, 6, 3)), {"preprocessing": Preprocessing("uint8")}
    ),
    "contrastive": Case(
        lambda: conv_net((6, 6, 3)),
        {
            "learning_rate": 0.1,
            "preprocessing": Preprocessing("uint8", 1 / 127.5, -1.0),
            **CONTRASTIVE,
        },
        Contrastive,
    ),
    "contrastive-sensors-min-red": Case(
        lambda: backbone("inertial", (16, 3), CLASSES, depth=2, width=4),
        {
            "optimizer": "adam",
            "buffer_policy": "min_red",
            "max_uses": 3,
            "preprocessing": Preprocessing("float32", 0.5, 0.1),
            **CONTRASTIVE,
        },
        Contrastive,
    ),
    "contrastive-flip-momentum": Case(
        lambda: conv_net((6, 6, 3)),
        {
            "optimizer": "momentum",
            "learning_rate": 0.1,
            "accumulate": 2,
            "clip_norm": 0.5,
            "buffer_policy": "flip_score",
            "rescore_every": 2,
            "neighbours": 3,
            "chunk_mb": 0.0007,
            "images": ImageAugmentation(values=(-3.0, 3.0)),
            **CONTRASTIVE,
        },
        Contrastive,
    ),
    "finetune-images": Case(
        lambda: conv_net((6, 6, 3)),
        {
            "learning_rate": 0.1,
            "augment": "images",
            "noise": 0.05,
            "preprocessing": Preprocessing("uint8", 1 / 127.5, -1.0),
        },
    ),
    "skip-sensors": Case(
        lambda: backbone("inertial", (16, 3), CLASSES, depth=2, width=4),
        {"learning_rate": 0.1, "augment": "auto", **PUBLISHED},
        Skip,
    ),
    "finetune-sequence": Case(sequence_net, {"learning_rate": 0.1}),
    "finetune-int8": Case(
        conv_net,
        {
            "learning_rate": 0.1,
            "trainable": "^(conv2|head)$",
            "preprocessing": Preprocessing("uint8", 1 / 127.5, -1.0),
        },
        quantize="int8_backbone",
    ),
    "skip-int8": Case(
        conv_net,
        {"learning_rate": 0.1, "trainable": "^(conv2|head)$"},
        Skip,
        "int8_backbone",
    ),
    "finetune-int8-serve": Case(
        conv_net, {"learning_rate": 0.1, "chunk_mb": 0.0007}, quantize="int8_serve"
    ),
    "skip-int8-serve": Case(
        two_inputs, {"learning_rate": 0.1}, Skip, quantize="int8_serve"
    ),
    **{
        f"{method.name}-{recipe}": Case(mlp, {"learning_rate": 0.1}, method, recipe)
        for method, recipe in (
            (Finetune, "int8_weights"),
            (Skip, "float16"),
            (Finetune, "int4_dense"),
            (Skip, "int2_dense"),
        )
    },
}


def method_of(name: str) -> Method:
    case = CASES[name]
    options = with_loss(case.method, case.options)
    return case.method(case.net(), classes=("a", "b", "c"), **options)


def with_loss(kind: type[Method], options: dict[str, Any]) -> dict[str, Any]:
    """Returns a method's options, and which loss, where it learns from labels."""
    learns_labels = issubclass(kind.Config, SupervisedConfig)
    loss = {"loss": "sparse_cross_entropy"} if learns_labels else {}
    return {**loss, **options}


def export_case(name: str) -> Exported:
    method, recipe = method_of(name), CASES[name].quantize
    rows = calibration(method) if recipes.recipe(recipe).calibrated else None
    return export(method, BATCH, infer_batch_size=2, quantize=recipe, calibrate=rows)


def calibration(method: Method) -> dict[str, np.ndarray]:
    """Returns rows to find the ranges of activations with."""
    rng, rows = np.random.default_rng(0), {}
    for part in method.features:
        x = rng.normal(size=(64, *part.shape))
        if part.preprocessing.dtype == "uint8":
            x = rng.integers(0, 256, x.shape)
        rows[part.name] = x.astype(part.preprocessing.dtype)
    return rows
