"""Time series: classes, forecasts and anomalies."""

from __future__ import annotations

from tools.coverage.designs.design import Kit, Room

ROOM = Room("time series")
KERAS = "https://keras.io/examples/timeseries/"


@ROOM.of(KERAS + "timeseries_classification_from_scratch/", labels=2)
def series_cnn(kit: Kit):
    L, x = kit.layers, kit.api.Input((96, 1))
    y = x
    for _ in range(3):
        y = L.ReLU()(L.BatchNormalization()(L.Conv1D(24, 3, padding="same")(y)))
    y = L.Dense(2, activation="softmax")(L.GlobalAveragePooling1D()(y))
    return kit.model(x, y, "sparse_categorical_crossentropy")


@ROOM.of(KERAS + "timeseries_classification_transformer/", labels=2)
def series_transformer(kit: Kit):
    L, x = kit.layers, kit.api.Input((48, 1))
    y = x
    for _ in range(2):
        z = L.MultiHeadAttention(2, 16, dropout=kit.noisy(0.25))(y, y)
        z = L.LayerNormalization(epsilon=1e-6)(kit.dropout(0.25)(z)) + y
        y = kit.dropout(0.25)(L.Conv1D(4, 1, activation="relu")(z))
        y = L.LayerNormalization(epsilon=1e-6)(L.Conv1D(1, 1)(y)) + z
    y = L.GlobalAveragePooling1D(data_format="channels_last")(y)
    y = kit.dropout(0.4)(L.Dense(32, activation="relu")(y))
    y = L.Dense(2, activation="softmax")(y)
    optimizer = kit.api.optimizers.Adam(1e-4)
    return kit.model(x, y, "sparse_categorical_crossentropy", optimizer)


@ROOM.of(KERAS + "timeseries_anomaly_detection/")
def series_autoencoder(kit: Kit):
    L, same = kit.layers, {"padding": "same", "strides": 2, "activation": "relu"}
    body = [L.Conv1D(16, 7, **same), kit.dropout(0.2), L.Conv1D(8, 7, **same)]
    body += [L.Conv1DTranspose(8, 7, **same), kit.dropout(0.2)]
    body += [L.Conv1DTranspose(16, 7, **same)]
    body += [L.Conv1DTranspose(1, 7, padding="same")]
    return kit.stack((96, 1), body, "mse")


@ROOM.of(KERAS + "timeseries_weather_forecasting/")
def weather(kit: Kit):
    L, x = kit.layers, kit.api.Input((24, 7))
    y = L.Dense(1)(L.LSTM(16)(x))
    return kit.model(x, y, "mse", kit.api.optimizers.Adam(0.001))


TUTORIAL = "https://www.tensorflow.org/tutorials/structured_data/time_series"


@ROOM.of(TUTORIAL)
def forecast_dense(kit: Kit):
    """Several steps by a Dense each, on windows that overlap."""
    L = kit.layers
    body = [L.Flatten(), L.Dense(32, activation="relu"), L.Dense(32, "relu")]
    body += [L.Dense(12), L.Reshape((12, 1))]
    return kit.stack((24, 5), body, kit.api.losses.MeanSquaredError())


@ROOM.of(TUTORIAL)
def forecast_conv(kit: Kit):
    L = kit.layers
    body = [L.Conv1D(32, 3, activation="relu"), L.Dense(32, activation="relu")]
    return kit.stack((24, 5), [*body, L.Dense(1)], kit.api.losses.MeanSquaredError())


@ROOM.of(TUTORIAL)
def forecast_lstm(kit: Kit):
    """A forecast at every step."""
    L = kit.layers
    body = [L.LSTM(16, return_sequences=True), L.Dense(1)]
    return kit.stack((24, 5), body, kit.api.losses.MeanSquaredError())


@ROOM.of("https://arxiv.org/abs/1609.03499", labels=16)
def wavenet(kit: Kit):
    """Gated dilated convolutions; the next value's class at every step."""
    L, x = kit.layers, kit.api.Input((48, 1))
    y, skips = L.Conv1D(12, 2, padding="causal")(x), []
    for rate in (1, 2, 4, 8):
        both = [
            L.Conv1D(12, 2, dilation_rate=rate, padding="causal", activation=name)(y)
            for name in ("tanh", "sigmoid")
        ]
        z = L.Conv1D(12, 1)(L.Multiply()(both))
        skips.append(z)
        y = L.Add()([y, z])
    y = L.Conv1D(16, 1, activation="relu")(L.ReLU()(L.Add()(skips)))
    y = L.Conv1D(16, 1, activation="softmax")(y)
    return kit.model(x, y, "sparse_categorical_crossentropy")


@ROOM.of("https://arxiv.org/abs/1905.10437")
def n_beats(kit: Kit):
    """Blocks that take away what they explain; their forecasts are summed."""
    L, x = kit.layers, kit.api.Input((20,))
    rest, forecast = x, None
    for _ in range(3):
        y = rest
        for _ in range(2):
            y = L.Dense(24, activation="relu")(y)
        theta = L.Dense(25)(y)
        rest = rest - theta[:, :20]
        part = theta[:, 20:]
        forecast = part if forecast is None else forecast + part
    return kit.model(x, forecast, "mae")
