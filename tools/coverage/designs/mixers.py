"""Patches, mixers and transformers of images."""

from __future__ import annotations

import numpy as np

from tools.coverage.designs.design import Kit, Room

ROOM = Room("mixers and transformers of images")
KERAS = "https://keras.io/examples/vision/"
CLASSES = 10


def _logits(kit: Kit):
    return kit.api.losses.SparseCategoricalCrossentropy(from_logits=True)


def _patches(kit: Kit, x, size: int, width: int):
    """Returns [B, patches, width] of images whose sides are known."""
    L, (_, h, w, _) = kit.layers, x.shape
    y = L.Conv2D(width, size, strides=size, padding="valid")(x)
    return L.Reshape((h // size * (w // size), width))(y)


@ROOM.of(KERAS + "convmixer/", labels=CLASSES)
def conv_mixer(kit: Kit):
    L, x = kit.layers, kit.api.Input((32, 32, 3))

    def after(y):
        return L.BatchNormalization()(L.Activation("gelu")(y))

    y = after(L.Conv2D(24, 4, strides=4)(L.Rescaling(1 / 255)(x)))
    for _ in range(3):
        y = L.Add()([after(L.DepthwiseConv2D(5, padding="same")(y)), y])
        y = after(L.Conv2D(24, 1)(y))
    y = L.Dense(CLASSES, activation="softmax")(L.GlobalAvgPool2D()(y))
    optimizer = kit.api.optimizers.AdamW(learning_rate=0.001, weight_decay=0.0001)
    return kit.model(x, y, "sparse_categorical_crossentropy", optimizer)


@ROOM.of(KERAS + "mlp_image_classification/", labels=CLASSES)
def mlp_mixer(kit: Kit):
    L, x = kit.layers, kit.api.Input((32, 32, 3))
    y = _patches(kit, x, 8, 24)
    for _ in range(2):
        z = L.Permute((2, 1))(L.LayerNormalization(epsilon=1e-6)(y))
        z = L.Dense(16)(kit.dropout(0.2)(L.Dense(16, activation="gelu")(z)))
        y = L.Add()([y, L.Permute((2, 1))(z)])
        z = L.Dense(24, activation="gelu")(L.LayerNormalization(epsilon=1e-6)(y))
        y = L.Add()([y, L.Dense(24)(kit.dropout(0.2)(z))])
    y = kit.dropout(0.2)(L.GlobalAveragePooling1D()(y))
    return kit.model(x, L.Dense(CLASSES)(y), _logits(kit))


@ROOM.of(KERAS + "mlp_image_classification/", labels=CLASSES)
def gated_mlp(kit: Kit):
    """A gate that mixes the patches: u * Dense(v) along them."""
    L, x = kit.layers, kit.api.Input((32, 32, 3))
    y = _patches(kit, x, 8, 24)
    for _ in range(2):
        z = L.Dense(48, activation="gelu")(L.LayerNormalization(epsilon=1e-6)(y))
        u, v = z[:, :, :24], L.LayerNormalization(epsilon=1e-6)(z[:, :, 24:])
        v = L.Permute((2, 1))(
            L.Dense(16, bias_initializer="ones")(L.Permute((2, 1))(v))
        )
        y = y + L.Dense(24)(u * v)
    y = L.Dense(CLASSES)(L.GlobalAveragePooling1D()(y))
    return kit.model(x, y, _logits(kit))


@ROOM.of(KERAS + "image_classification_with_vision_transformer/", labels=CLASSES)
def vision_transformer(kit: Kit):
    L, x = kit.layers, kit.api.Input((32, 32, 3))
    y = _patches(kit, x, 8, 32)
    places = L.Flatten()(x)[:, :16] * 0.0 + np.arange(16, dtype="float32")
    y = y + L.Embedding(16, 32)(places)
    for _ in range(2):
        z = L.LayerNormalization(epsilon=1e-6)(y)
        z = L.MultiHeadAttention(4, 32, dropout=kit.noisy(0.1))(z, z)
        y = L.Add()([z, y])
        z = L.Dense(64, activation="gelu")(L.LayerNormalization(epsilon=1e-6)(y))
        y = L.Add()([L.Dense(32, activation="gelu")(kit.dropout(0.1)(z)), y])
    y = L.Flatten()(L.LayerNormalization(epsilon=1e-6)(y))
    y = L.Dense(64, activation="gelu")(kit.dropout(0.5)(y))
    optimizer = kit.api.optimizers.AdamW(learning_rate=0.001, weight_decay=0.0001)
    return kit.model(x, L.Dense(CLASSES)(y), _logits(kit), optimizer)


@ROOM.of(KERAS + "cct/", labels=CLASSES, one_hot=True)
def compact_transformer(kit: Kit):
    """Tokens by convolutions, pooled by a softmax along them."""
    L, x = kit.layers, kit.api.Input((32, 32, 3))
    y = L.Conv2D(32, 3, padding="same", use_bias=False, activation="relu")(x)
    y = L.Reshape((64, 32))(L.MaxPooling2D(4, 4, "same")(y))
    for _ in range(2):
        z = L.LayerNormalization(epsilon=1e-5)(y)
        z = L.MultiHeadAttention(2, 32, dropout=kit.noisy(0.1))(z, z)
        y = L.Add()([z, y])
        z = L.Dense(32, activation="gelu")(L.LayerNormalization(epsilon=1e-5)(y))
        y = L.Add()([kit.dropout(0.1)(L.Dense(32, activation="gelu")(z)), y])
    y = L.LayerNormalization(epsilon=1e-5)(y)
    weights = L.Softmax(axis=1)(L.Dense(1)(y))
    y = L.Flatten()(L.Dot(axes=1)([weights, y]))
    loss = kit.api.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    optimizer = kit.api.optimizers.AdamW(learning_rate=0.001, weight_decay=0.0001)
    return kit.model(x, L.Dense(CLASSES)(y), loss, optimizer)


@ROOM.of(KERAS + "eanet/", labels=CLASSES, one_hot=True)
def external_attention(kit: Kit):
    """Attention to a memory that is a Dense, normalized twice."""
    L, ops, x = kit.layers, kit.ops, kit.api.Input((32, 32, 3))
    y = _patches(kit, x, 8, 32)
    for _ in range(2):
        z = L.Dense(32)(L.LayerNormalization(epsilon=1e-5)(y))
        z = L.Softmax(axis=1)(L.Dense(16)(z))
        z = z / (1e-9 + ops.sum(z, axis=-1, keepdims=True))
        y = y + L.Dense(32)(L.Dense(32)(z))
        z = L.Dense(32, activation="gelu")(L.LayerNormalization(epsilon=1e-5)(y))
        y = y + L.Dense(32)(kit.dropout(0.2)(z))
    y = L.Dense(CLASSES, activation="softmax")(L.GlobalAveragePooling1D()(y))
    loss = kit.api.losses.CategoricalCrossentropy(label_smoothing=0.1)
    return kit.model(x, y, loss)


@ROOM.of(KERAS + "mobilevit/", labels=5)
def mobile_vit(kit: Kit):
    """A block whose attention goes along the pixels of the same place in a patch."""
    L, x = kit.layers, kit.api.Input((32, 32, 3))

    def conv(y, width, size=3, strides=1):
        made = L.Conv2D(width, size, strides, padding="same", activation="swish")
        return made(y)

    def inverted(y, width, strides=1):
        z = L.Conv2D(2 * y.shape[-1], 1, use_bias=False)(y)
        z = L.Activation("swish")(L.BatchNormalization()(z))
        z = L.DepthwiseConv2D(3, strides, padding="same", use_bias=False)(z)
        z = L.Activation("swish")(L.BatchNormalization()(z))
        z = L.BatchNormalization()(L.Conv2D(width, 1, use_bias=False)(z))
        return L.Add()([y, z]) if strides == 1 and y.shape[-1] == width else z

    y = inverted(inverted(conv(L.Rescaling(1 / 255)(x), 16, strides=2), 16), 24, 2)
    z = L.Reshape((4, 16, 24))(conv(conv(y, 24), 24, 1))
    for _ in range(2):
        a = L.LayerNormalization(epsilon=1e-6)(z)
        a = L.MultiHeadAttention(2, 24, dropout=kit.noisy(0.1))(a, a)
        z = L.Add()([a, z])
        a = L.Dense(48, activation="swish")(L.LayerNormalization(epsilon=1e-6)(z))
        z = L.Add()([L.Dense(24, activation="swish")(a), z])
    z = conv(L.Reshape((8, 8, 24))(z), 24, 1)
    y = conv(L.Concatenate()([y, z]), 24)
    y = L.Dense(5, activation="softmax")(L.GlobalAvgPool2D()(conv(y, 48, 1)))
    return kit.model(x, y, "sparse_categorical_crossentropy")


@ROOM.of("https://arxiv.org/abs/2201.03545", labels=CLASSES)
def small_convnext(kit: Kit):
    """ConvNeXt's block: depthwise 7x7, LayerNorm, a gelu in the middle."""
    L, x = kit.layers, kit.api.Input((32, 32, 3))
    y = L.LayerNormalization(epsilon=1e-6)(L.Conv2D(16, 4, strides=4)(x))
    for width in (16, 32):
        for _ in range(2):
            z = L.DepthwiseConv2D(7, padding="same")(y)
            z = L.Dense(4 * width)(L.LayerNormalization(epsilon=1e-6)(z))
            y = y + L.Dense(width)(L.Activation("gelu")(z)) * 0.5
        if width == 16:
            y = L.LayerNormalization(epsilon=1e-6)(y)
            y = L.Conv2D(32, 2, strides=2)(y)
    y = L.LayerNormalization(epsilon=1e-6)(L.GlobalAveragePooling2D()(y))
    optimizer = kit.api.optimizers.AdamW(learning_rate=0.001, weight_decay=0.05)
    return kit.model(x, L.Dense(CLASSES)(y), _logits(kit), optimizer)
