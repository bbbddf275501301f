"""What is worn: activity from inertial sensors, and brains and hearts."""

from __future__ import annotations

from tools.coverage.designs.design import Kit, Room

ROOM = Room("activity, EEG and ECG")
ACTIVITY = "https://machinelearningmastery.com/"
STEPS = 32


@ROOM.of(ACTIVITY + "cnn-models-for-human-activity-recognition", labels=6, one_hot=True)
def activity_cnn(kit: Kit):
    L = kit.layers
    body = [L.Conv1D(32, 3, activation="relu") for _ in range(2)]
    body += [kit.dropout(0.5), L.MaxPooling1D(2), L.Flatten()]
    body += [L.Dense(50, activation="relu"), L.Dense(6, activation="softmax")]
    return kit.stack((128, 9), body, "categorical_crossentropy")


@ROOM.of(
    ACTIVITY + "how-to-develop-rnn-models-for-human-activity-recognition",
    labels=6,
    one_hot=True,
)
def activity_lstm(kit: Kit):
    L = kit.layers
    body = [L.LSTM(24), kit.dropout(0.5), L.Dense(24, activation="relu")]
    body += [L.Dense(6, activation="softmax")]
    return kit.stack((STEPS, 9), body, "categorical_crossentropy")


@ROOM.of("https://github.com/tensorflow/tensorflow/issues/61513", labels=6)
def activity_gru(kit: Kit):
    L = kit.layers
    body = [L.GRU(16, return_sequences=True), L.GRU(16)]
    body += [L.Dense(6, activation="softmax")]
    return kit.stack((STEPS, 9), body, "sparse_categorical_crossentropy", "rmsprop")


@ROOM.of("https://doi.org/10.3390/s16010115", labels=6)
def deep_conv_lstm(kit: Kit):
    """Convolutions along time, then two LSTMs."""
    L = kit.layers
    body = [L.Conv1D(16, 5, activation="relu") for _ in range(3)]
    body += [L.LSTM(16, return_sequences=True), kit.dropout(0.5), L.LSTM(16)]
    body += [kit.dropout(0.5), L.Dense(6, activation="softmax")]
    return kit.stack((STEPS, 9), body, "sparse_categorical_crossentropy", "rmsprop")


@ROOM.of(
    ACTIVITY + "how-to-develop-rnn-models-for-human-activity-recognition", labels=6
)
def cnn_lstm(kit: Kit):
    """Convolutions of each part of a window, an LSTM over the parts."""
    L, each = kit.layers, kit.layers.TimeDistributed
    body = [each(L.Conv1D(16, 3, activation="relu")), each(L.MaxPooling1D(2))]
    body += [each(L.Flatten()), L.LSTM(16), L.Dense(6, activation="softmax")]
    return kit.stack((4, 16, 9), body, "sparse_categorical_crossentropy")


@ROOM.of("https://arxiv.org/abs/2003.09018", labels=6)
def activity_transformer(kit: Kit):
    """Self-attention over sensor windows, pooled by attention."""
    L, x = kit.layers, kit.api.Input((STEPS, 9))
    y = L.Conv1D(24, 1, activation="relu")(x)
    for _ in range(2):
        z = L.MultiHeadAttention(4, 12, dropout=kit.noisy(0.1))(y, y)
        y = L.LayerNormalization(epsilon=1e-6)(y + kit.dropout(0.2)(z))
        z = L.Dense(24)(L.Dense(48, activation="relu")(y))
        y = L.LayerNormalization(epsilon=1e-6)(y + kit.dropout(0.2)(z))
    weights = L.Softmax(axis=1)(L.Dense(1, activation="tanh")(y))
    y = L.Dot(axes=1)([weights, y])
    y = L.Dense(6, activation="softmax")(L.Flatten()(y))
    return kit.model(x, y, "sparse_categorical_crossentropy")


@ROOM.of("https://arxiv.org/abs/1803.01271", labels=6)
def temporal_conv(kit: Kit):
    """TCN: causal convolutions of growing dilation, residual."""
    L, x = kit.layers, kit.api.Input((64, 6))
    y = x
    for rate in (1, 2, 4, 8):
        z = y
        for _ in range(2):
            z = L.Conv1D(16, 3, padding="causal", dilation_rate=rate)(z)
            z = L.SpatialDropout1D(kit.noisy(0.1))(L.Activation("relu")(z))
        y = y if y.shape[-1] == 16 else L.Conv1D(16, 1)(y)
        y = L.Activation("relu")(L.add([y, z]))
    return kit.model(
        x,
        L.Dense(6, activation="softmax")(y[:, -1]),
        "sparse_categorical_crossentropy",
        kit.api.optimizers.Adam(0.002, clipnorm=1.0),
    )


@ROOM.of("https://arxiv.org/abs/1909.04939", labels=5)
def inception_time(kit: Kit):
    L, x = kit.layers, kit.api.Input((64, 3))

    def module(y):
        z = L.Conv1D(8, 1, padding="same", use_bias=False)(y)
        parts = [
            L.Conv1D(8, size, padding="same", use_bias=False)(z) for size in (20, 10, 5)
        ]
        pooled = L.MaxPooling1D(3, strides=1, padding="same")(y)
        parts.append(L.Conv1D(8, 1, padding="same", use_bias=False)(pooled))
        y = L.Concatenate(axis=2)(parts)
        return L.Activation("relu")(L.BatchNormalization()(y))

    y = module(module(x))
    short = L.BatchNormalization()(L.Conv1D(32, 1, use_bias=False)(x))
    y = L.Activation("relu")(L.Add()([short, y]))
    y = L.Dense(5, activation="softmax")(L.GlobalAveragePooling1D()(y))
    return kit.model(x, y, "sparse_categorical_crossentropy")


@ROOM.of("https://arxiv.org/abs/1709.05206", labels=5)
def lstm_fcn(kit: Kit):
    """An LSTM and a convolutional net side by side."""
    L, x = kit.layers, kit.api.Input((STEPS, 2))
    left = kit.dropout(0.8)(L.LSTM(8)(L.Permute((2, 1))(x)))
    y = x
    for width, size in ((16, 8), (24, 5), (16, 3)):
        y = L.Conv1D(width, size, padding="same", kernel_initializer="he_uniform")(y)
        y = L.Activation("relu")(L.BatchNormalization()(y))
    y = L.Concatenate()([left, L.GlobalAveragePooling1D()(y)])
    y = L.Dense(5, activation="softmax")(y)
    return kit.model(x, y, "sparse_categorical_crossentropy")


@ROOM.of("https://github.com/vlawhern/arl-eegmodels", labels=4, one_hot=True)
def eegnet(kit: Kit):
    L, x = kit.layers, kit.api.Input((16, 64, 1))
    at_most = kit.api.constraints.MaxNorm
    y = L.Conv2D(4, (1, 32), padding="same", use_bias=False)(x)
    y = L.DepthwiseConv2D(
        (16, 1), use_bias=False, depth_multiplier=2, depthwise_constraint=at_most(1.0)
    )(L.BatchNormalization()(y))
    y = L.Activation("elu")(L.BatchNormalization()(y))
    y = kit.dropout(0.5)(L.AveragePooling2D((1, 4))(y))
    y = L.SeparableConv2D(8, (1, 16), use_bias=False, padding="same")(y)
    y = L.Activation("elu")(L.BatchNormalization()(y))
    y = L.Flatten()(kit.dropout(0.5)(L.AveragePooling2D((1, 8))(y)))
    y = L.Dense(4, kernel_constraint=at_most(0.25))(y)
    return kit.model(x, L.Activation("softmax")(y), "categorical_crossentropy")


@ROOM.of("https://github.com/vlawhern/arl-eegmodels", labels=4, one_hot=True)
def shallow_conv_net(kit: Kit):
    """Squares, means and logarithms of filtered electrodes."""
    L, ops, x = kit.layers, kit.ops, kit.api.Input((16, 64, 1))
    at_most = kit.api.constraints.MaxNorm
    y = L.Conv2D(8, (1, 13), kernel_constraint=at_most(2.0, axis=(0, 1, 2)))(x)
    y = L.Conv2D(
        8, (16, 1), use_bias=False, kernel_constraint=at_most(2.0, axis=(0, 1, 2))
    )(y)
    y = ops.square(L.BatchNormalization(epsilon=1e-5, momentum=0.9)(y))
    y = L.AveragePooling2D((1, 35), strides=(1, 7))(y)
    y = kit.dropout(0.5)(ops.log(ops.clip(y, 1e-7, 10000.0)))
    y = L.Dense(4, kernel_constraint=at_most(0.5))(L.Flatten()(y))
    return kit.model(x, L.Activation("softmax")(y), "categorical_crossentropy")


@ROOM.of("https://github.com/vlawhern/arl-eegmodels", labels=4, one_hot=True)
def deep_conv_net(kit: Kit):
    L, x = kit.layers, kit.api.Input((16, 128, 1))
    at_most = kit.api.constraints.MaxNorm

    def block(y, convolve):
        y = L.BatchNormalization(epsilon=1e-5, momentum=0.9)(convolve(y))
        y = L.MaxPooling2D((1, 2), strides=(1, 2))(L.Activation("elu")(y))
        return kit.dropout(0.5)(y)

    def conv(width, size=(1, 5)):
        return L.Conv2D(width, size, kernel_constraint=at_most(2.0, axis=(0, 1, 2)))

    y = block(conv(8)(x), conv(8, (16, 1)))
    for width in (12, 16):
        y = block(y, conv(width))
    y = L.Dense(4, kernel_constraint=at_most(0.5))(L.Flatten()(y))
    return kit.model(x, L.Activation("softmax")(y), "categorical_crossentropy")


@ROOM.of("https://keras.io/examples/timeseries/eeg_signal_classification/", labels=8)
def eeg_signals(kit: Kit):
    L, body = kit.layers, []
    for width in (16, 16, 24):
        body += [L.Conv1D(width, 3, strides=2, padding="same", activation="relu")]
        body += [L.BatchNormalization()]
    body += [kit.dropout(0.2), L.Flatten()]
    body += [L.Dense(32, activation="leaky_relu", kernel_regularizer="l2")]
    body += [kit.dropout(0.2), L.Dense(8, activation="softmax")]
    return kit.stack((128, 1), body, "sparse_categorical_crossentropy")


@ROOM.of("https://arxiv.org/abs/1805.00794", labels=5)
def heartbeats(kit: Kit):
    """Residual blocks of two convolutions and a pooling each."""
    L, x = kit.layers, kit.api.Input((187, 1))
    y = L.Conv1D(16, 5)(x)
    for _ in range(3):
        z = L.Conv1D(16, 5, padding="same", activation="relu")(y)
        y = L.Activation("relu")(L.Add()([L.Conv1D(16, 5, padding="same")(z), y]))
        y = L.MaxPooling1D(5, strides=2)(y)
    y = L.Dense(16, activation="relu")(L.Flatten()(y))
    y = L.Dense(5, activation="softmax")(L.Dense(16)(y))
    schedule = kit.api.optimizers.schedules.ExponentialDecay(0.001, 10000, 0.75)
    return kit.model(
        x, y, "sparse_categorical_crossentropy", kit.api.optimizers.Adam(schedule)
    )


@ROOM.of("https://doi.org/10.1038/s41591-018-0268-3", labels=4)
def rhythms(kit: Kit):
    """Residual blocks with batch norms before the relus; a class at every step."""
    L, x = kit.layers, kit.api.Input((128, 1))
    y = L.ReLU()(L.BatchNormalization()(L.Conv1D(12, 16, padding="same")(x)))
    for strides in (1, 2, 2):
        short = L.MaxPooling1D(strides)(y)
        z = kit.dropout(0.2)(L.ReLU()(L.BatchNormalization()(y)))
        z = L.Conv1D(12, 16, strides=strides, padding="same")(z)
        z = kit.dropout(0.2)(L.ReLU()(L.BatchNormalization()(z)))
        y = L.Add()([short, L.Conv1D(12, 16, padding="same")(z)])
    y = L.TimeDistributed(L.Dense(4))(L.ReLU()(L.BatchNormalization()(y)))
    y = L.Activation("softmax")(y)
    return kit.model(x, y, "sparse_categorical_crossentropy")
