"""MLPerf Tiny's four models, and nets that listen for keywords."""

from __future__ import annotations

from tools.coverage.designs.design import Kit, Room

ROOM = Room("MLPerf Tiny and keywords")
MLPERF = "https://github.com/mlcommons/tiny/tree/master/benchmark/training/"
WORDS = 12


@ROOM.of(MLPERF + "keyword_spotting", labels=WORDS)
def ds_cnn(kit: Kit):
    L, x = kit.layers, kit.api.Input((49, 10, 1))
    l2 = kit.api.regularizers.L2

    def after(y):
        return L.Activation("relu")(L.BatchNormalization()(y))

    y = L.Conv2D(32, (10, 4), strides=2, padding="same", kernel_regularizer=l2(1e-4))(x)
    y = kit.dropout(0.2)(after(y))
    for _ in range(2):
        y = L.DepthwiseConv2D(3, padding="same", depthwise_regularizer=l2(1e-4))(y)
        y = L.Conv2D(32, 1, padding="same", kernel_regularizer=l2(1e-4))(after(y))
        y = after(y)
    y = L.Flatten()(L.AveragePooling2D((25, 5))(kit.dropout(0.4)(y)))
    y = L.Dense(WORDS, activation="softmax")(y)
    loss = kit.api.losses.SparseCategoricalCrossentropy()
    return kit.model(x, y, loss, kit.api.optimizers.Adam(0.0005))


@ROOM.of(MLPERF + "image_classification", labels=10, one_hot=True)
def tiny_resnet(kit: Kit):
    L, x = kit.layers, kit.api.Input((32, 32, 3))
    l2 = kit.api.regularizers.L2

    def conv(y, width, size=3, strides=1):
        made = L.Conv2D(
            width,
            size,
            strides,
            padding="same",
            kernel_initializer="he_normal",
            kernel_regularizer=l2(1e-4),
        )
        return made(y)

    y = L.Activation("relu")(L.BatchNormalization()(conv(x, 8)))
    for width, strides in ((8, 1), (16, 2), (32, 2)):
        z = L.Activation("relu")(L.BatchNormalization()(conv(y, width, 3, strides)))
        z = L.BatchNormalization()(conv(z, width))
        y = y if strides == 1 else conv(y, width, 1, strides)
        y = L.Activation("relu")(L.add([y, z]))
    y = L.Flatten()(L.AveragePooling2D(8)(y))
    y = L.Dense(10, activation="softmax", kernel_initializer="he_normal")(y)
    return kit.model(x, y, "categorical_crossentropy")


@ROOM.of(MLPERF + "visual_wake_words", labels=2, one_hot=True)
def wake_words(kit: Kit):
    """MobileNetV1 at a width of 1/4, half of its blocks."""
    L, x = kit.layers, kit.api.Input((48, 48, 3))
    l2 = kit.api.regularizers.L2(1e-4)

    def after(y):
        return L.Activation("relu")(L.BatchNormalization()(y))

    y = L.Conv2D(8, 3, 2, padding="same", kernel_regularizer=l2)(x)
    y = after(y)
    for width, strides in ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2)):
        y = L.DepthwiseConv2D(3, strides, padding="same", depthwise_regularizer=l2)(y)
        y = after(L.Conv2D(width, 1, kernel_regularizer=l2)(after(y)))
    y = L.Flatten()(L.AveragePooling2D(y.shape[1])(y))
    y = L.Dense(2, activation="softmax")(y)
    return kit.model(x, y, "categorical_crossentropy")


@ROOM.of(MLPERF + "anomaly_detection")
def anomaly(kit: Kit):
    """An autoencoder of 5 spectral frames of 128 bands."""
    L, x = kit.layers, kit.api.Input((640,))
    y = x
    for width in (64, 64, 8, 64, 64):
        y = L.Activation("relu")(L.BatchNormalization()(L.Dense(width)(y)))
    return kit.model(x, L.Dense(640)(y), "mean_squared_error")


@ROOM.of("https://arxiv.org/abs/1904.03814", labels=WORDS)
def tc_resnet(kit: Kit):
    """TC-ResNet8: convolutions along time, bands as channels."""
    L, x = kit.layers, kit.api.Input((98, 40))

    def conv(y, width, size=9, strides=1):
        made = L.Conv1D(width, size, strides, padding="same", use_bias=False)
        return L.BatchNormalization()(made(y))

    y = L.Conv1D(16, 3, padding="same", use_bias=False)(x)
    for width in (24, 32, 48):
        z = conv(L.ReLU()(conv(y, width, 9, 2)), width)
        y = L.ReLU()(L.Add()([L.ReLU()(conv(y, width, 1, 2)), z]))
    y = kit.dropout(0.5)(L.GlobalAveragePooling1D()(y))
    loss = kit.api.losses.SparseCategoricalCrossentropy(from_logits=True)
    return kit.model(x, L.Dense(WORDS)(y), loss, kit.api.optimizers.SGD(0.1, 0.9))


@ROOM.of("https://arxiv.org/abs/2106.04140", labels=WORDS)
def bc_resnet(kit: Kit):
    """BC-ResNet: what goes along time is broadcast over the bands."""
    L, ops, x = kit.layers, kit.ops, kit.api.Input((40, 32, 1))

    def sub_spectral(y):
        """Batch norm of four groups of bands by themselves."""
        _, bands, steps, width = y.shape
        y = L.Permute((2, 1, 3))(y)
        y = L.Reshape((steps, bands // 4, 4 * width))(
            ops.reshape(y, (-1, steps, bands // 4, 4 * width))
        )
        y = L.BatchNormalization()(y)
        return L.Permute((2, 1, 3))(L.Reshape((steps, bands, width))(y))

    def block(y, width, strides=1):
        z = y
        if y.shape[-1] != width:
            z = L.ReLU()(L.BatchNormalization()(L.Conv2D(width, 1, use_bias=False)(z)))
        down = L.DepthwiseConv2D(
            (3, 1), strides=(strides, strides), padding="same", use_bias=False
        )
        z = sub_spectral(down(z))
        t = ops.mean(z, axis=1, keepdims=True)
        t = L.DepthwiseConv2D((1, 3), padding="same", use_bias=False)(t)
        t = L.Activation("swish")(L.BatchNormalization()(t))
        t = L.SpatialDropout2D(kit.noisy(0.1))(L.Conv2D(width, 1, use_bias=False)(t))
        whole = y.shape[-1] == width and strides == 1
        return L.ReLU()(y + z + t if whole else z + t)

    y = L.Conv2D(8, 5, strides=(2, 1), padding="same")(x)
    y = L.ReLU()(L.BatchNormalization()(y))
    y = block(block(y, 8), 12, 1)
    y = block(y, 12)
    y = L.DepthwiseConv2D(5, padding="same", use_bias=False)(y)
    y = ops.mean(L.Conv2D(16, 1, use_bias=False)(y), axis=(1, 2))
    loss = kit.api.losses.SparseCategoricalCrossentropy(from_logits=True)
    return kit.model(x, L.Dense(WORDS)(y), loss, kit.api.optimizers.SGD(0.1, 0.9))


@ROOM.of("https://arxiv.org/abs/2004.08531", labels=WORDS)
def matchbox_net(kit: Kit):
    """MatchboxNet: separable convolutions along time, residual by a pointwise one."""
    L, x = kit.layers, kit.api.Input((64, 32))

    def separable(y, width, size, rate=1):
        made = L.SeparableConv1D(
            width, size, padding="same", dilation_rate=rate, use_bias=False
        )
        return L.BatchNormalization()(made(y))

    y = L.ReLU()(separable(x, 32, 11))
    for size in (13, 15):
        short = L.BatchNormalization()(L.Conv1D(24, 1, use_bias=False)(y))
        y = kit.dropout(0.1)(L.ReLU()(separable(y, 24, size)))
        y = kit.dropout(0.1)(L.ReLU()(L.Add()([separable(y, 24, size), short])))
    y = L.ReLU()(separable(y, 32, 29, 2))
    y = L.ReLU()(L.BatchNormalization()(L.Conv1D(32, 1, use_bias=False)(y)))
    y = L.GlobalAveragePooling1D()(L.Conv1D(WORDS, 1)(y))
    loss = kit.api.losses.SparseCategoricalCrossentropy(from_logits=True)
    return kit.model(x, y, loss, kit.api.optimizers.SGD(0.05, 0.95))


@ROOM.of("https://www.tensorflow.org/tutorials/audio/simple_audio", labels=8)
def simple_audio(kit: Kit):
    L, x = kit.layers, kit.api.Input((62, 65, 1))
    norm = L.Normalization(axis=None, mean=0.4, variance=1.5)
    y = norm(L.Resizing(32, 32)(x))
    y = L.Conv2D(16, 3, activation="relu")(y)
    y = L.MaxPooling2D()(L.Conv2D(32, 3, activation="relu")(y))
    y = L.Flatten()(kit.dropout(0.25)(y))
    y = kit.dropout(0.5)(L.Dense(32, activation="relu")(y))
    loss = kit.api.losses.SparseCategoricalCrossentropy(from_logits=True)
    return kit.model(x, L.Dense(8)(y), loss)


@ROOM.of("https://arxiv.org/abs/1808.08929", labels=WORDS)
def attention_rnn(kit: Kit):
    """Convolutions, a recurrent net in both directions, attention by its middle."""
    L, x = kit.layers, kit.api.Input((24, 20, 1))
    y = L.Conv2D(6, (5, 1), padding="same", activation="relu")(x)
    y = L.Conv2D(1, (5, 1), padding="same", activation="relu")(
        L.BatchNormalization()(y)
    )
    y = L.Reshape((24, 20))(L.BatchNormalization()(y))
    y = L.Bidirectional(L.LSTM(8, return_sequences=True))(y)
    query = L.Dense(16)(y[:, 12])
    scores = L.Softmax()(L.Dot(axes=[1, 2])([query, y]))
    y = L.Dot(axes=[1, 1])([scores, y])
    y = L.Dense(16)(L.Dense(32, activation="relu")(y))
    y = L.Dense(WORDS, activation="softmax")(y)
    return kit.model(x, y, "sparse_categorical_crossentropy")


@ROOM.of("https://arxiv.org/abs/1703.05390", labels=2)
def crnn(kit: Kit):
    """A convolution and two recurrent layers in both directions, one keyword."""
    L, x = kit.layers, kit.api.Input((40, 20, 1))
    y = L.Conv2D(8, (5, 5), strides=(4, 2), activation="relu")(x)
    y = L.Reshape((y.shape[1], y.shape[2] * 8))(y)
    y = L.Bidirectional(L.GRU(8, return_sequences=True))(y)
    y = L.Bidirectional(L.GRU(8))(y)
    y = L.Dense(2, activation="softmax")(L.Dense(16, activation="relu")(y))
    return kit.model(x, y, "sparse_categorical_crossentropy")
