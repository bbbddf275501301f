"""Small models of every kind, made by tf_keras or by Keras 3, with random weights."""

from __future__ import annotations

import numpy as np


def randomize(model, seed: int = 0):
    """Gives every weight a random value, moving variances one from 0.5 to 1.5."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if hasattr(layer, "layers"):
            randomize(layer, seed + 1)
            continue
        names = [weight.name for weight in layer.weights]
        layer.set_weights(
            [
                random.uniform(0.5, 1.5, value.shape)
                if "variance" in name
                else random.normal(0.0, 0.3, value.shape)
                for name, value in zip(names, layer.get_weights(), strict=True)
            ]
        )
    return model


def mlp(api, activation="softmax"):
    layers = api.layers
    return randomize(
        api.Sequential(
            [
                api.Input((6,), name="x"),
                layers.Dense(5, activation="relu", name="hidden"),
                layers.Dropout(0.3, name="drop"),
                layers.Dense(3, activation=activation, name="out"),
            ]
        )
    )


def conv(api, activation=None):
    """Convolution, batch norm, depthwise, Add, global pooling; relu6 and padding."""
    layers = api.layers
    x = api.Input((9, 8, 2), name="x")
    y = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
    y = layers.Conv2D(4, 3, strides=2, use_bias=False, name="conv")(y)
    y = layers.BatchNormalization(epsilon=1e-2, momentum=0.8, name="bn")(y)
    y = layers.ReLU(6.0, name="relu")(y)
    z = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(y)
    z = layers.LeakyReLU(0.2, name="leaky")(z)
    y = layers.Add(name="add")([y, z])
    y = layers.GlobalAveragePooling2D(name="pool")(y)
    y = layers.Dense(4, name="out")(y)
    if activation:
        y = layers.Activation(activation, name="ending")(y)
    return randomize(api.Model(x, y, name="conv_net"))


def nested(api):
    """A sequential part called twice, an inner functional model, softmax inside it."""
    layers = api.layers
    shared = api.Sequential(
        [api.Input((5,)), layers.Dense(5, "relu", name="fc")], name="shared"
    )
    a = api.Input((5,), name="a")
    y = layers.Dense(3, name="fc")(a)
    inner = api.Model(a, layers.Softmax(name="soft")(y), name="inner")
    x = api.Input((5,), name="x")
    y = layers.Multiply(name="mix")([shared(x), shared(shared(x))])
    return randomize(api.Model(x, inner(y), name="outer"))


def branches(api):
    """A shared layer on two paths that meet in a concatenation."""
    layers = api.layers
    x = api.Input((4, 4, 2), name="x")
    shared = layers.Conv2D(2, 3, padding="same", name="shared")
    a = layers.MaxPooling2D(2, name="pool_a")(shared(x))
    b = layers.AveragePooling2D(2, name="pool_b")(shared(shared(x)))
    y = layers.Concatenate(name="join")([a, b])
    y = layers.Dense(3, name="out")(layers.Flatten(name="flat")(y))
    return randomize(api.Model(x, y, name="branches"))


def inputs(model, rows: int = 3, dtype: str = "float32") -> np.ndarray:
    """Returns random rows for the model's one input."""
    shape = (rows, *model.inputs[0].shape[1:])
    return np.random.default_rng(7).normal(size=shape).astype(dtype)


def difference(want, have) -> float:
    """Returns the largest difference relative to the largest entry wanted."""
    want, have = np.asarray(want), np.asarray(have)
    return float(np.abs(want - have).max() / np.abs(want).max())
