"""Rows of a table, and recommenders."""

from __future__ import annotations

from tools.coverage.designs.design import Kit, Room

ROOM = Room("structured data and recommenders")
KERAS = "https://keras.io/examples/structured_data/"


@ROOM.of(KERAS + "imbalanced_classification/", labels=1)
def fraud(kit: Kit):
    L, body = kit.layers, []
    for width in (64, 64, 64):
        body += [L.Dense(width, activation="relu"), kit.dropout(0.3)]
    loss, optimizer = "binary_crossentropy", kit.api.optimizers.Adam(1e-2)
    return kit.stack(
        (30,), [*body[:-1], L.Dense(1, activation="sigmoid")], loss, optimizer
    )


@ROOM.of(
    KERAS + "structured_data_classification_with_feature_space/",
    labels=1,
    high={"kind": 5, "sex": 2},
)
def heart_disease(kit: Kit):
    """Numbers scaled and binned, categories one-hot, then a small net."""
    L = kit.layers
    age, rate = (kit.api.Input((1,), name=name) for name in ("age", "rate"))
    kind, sex = (
        kit.api.Input((1,), dtype="int32", name=name) for name in ("kind", "sex")
    )
    y = L.Concatenate()(
        [
            L.Discretization([-1.0, 0.0, 1.0], output_mode="one_hot")(age),
            L.Normalization(mean=0.3, variance=2.0)(rate),
            L.CategoryEncoding(5, output_mode="one_hot")(kind),
            L.CategoryEncoding(2, output_mode="one_hot")(sex),
        ]
    )
    y = kit.dropout(0.5)(L.Dense(32, activation="relu")(y))
    y = L.Dense(1, activation="sigmoid")(y)
    return kit.model([age, rate, kind, sex], y, "binary_crossentropy")


@ROOM.of(KERAS + "wide_deep_cross_networks/", labels=7, high={"soil": 40})
def wide_and_deep(kit: Kit):
    L = kit.layers
    numbers = kit.api.Input((10,), name="numbers")
    soil = kit.api.Input((1,), dtype="int32", name="soil")
    wide = L.BatchNormalization()(
        L.Concatenate()([L.CategoryEncoding(40, output_mode="one_hot")(soil), numbers])
    )
    deep = L.Concatenate()([L.Flatten()(L.Embedding(40, 6)(soil)), numbers])
    for _ in range(2):
        deep = L.ReLU()(L.BatchNormalization()(L.Dense(32)(deep)))
        deep = kit.dropout(0.1)(deep)
    y = L.Dense(7, activation="softmax")(L.concatenate([wide, deep]))
    return kit.model([numbers, soil], y, "sparse_categorical_crossentropy")


@ROOM.of(KERAS + "wide_deep_cross_networks/", labels=7, high={"soil": 40})
def deep_and_cross(kit: Kit):
    """x0 * Dense(x) + x, as often as there are crosses."""
    L = kit.layers
    numbers = kit.api.Input((10,), name="numbers")
    soil = kit.api.Input((1,), dtype="int32", name="soil")
    first = L.Concatenate()([L.Flatten()(L.Embedding(40, 6)(soil)), numbers])
    cross = first
    for _ in range(2):
        cross = first * L.Dense(16)(cross) + cross
    deep = L.ReLU()(L.BatchNormalization()(L.Dense(32)(first)))
    y = L.Dense(7, activation="softmax")(L.Concatenate()([cross, deep]))
    return kit.model([numbers, soil], y, "sparse_categorical_crossentropy")


@ROOM.of(KERAS + "classification_with_grn_and_vsn/", labels=1)
def gated_residual(kit: Kit):
    """Gated residual networks choose among the features."""
    L, x = kit.layers, kit.api.Input((6,))

    def gated(y, width):
        z = L.Dense(width)(L.Dense(width, activation="elu")(y))
        z = kit.dropout(0.15)(z)
        z = L.Dense(width)(z) * L.Dense(width, activation="sigmoid")(z)
        return L.LayerNormalization()(
            (y if y.shape[-1] == width else L.Dense(width)(y)) + z
        )

    each = [L.Dense(8)(x[:, k : k + 1]) for k in range(6)]
    weights = L.Dense(6, activation="softmax")(gated(L.Concatenate()(each), 8))
    parts = L.Concatenate(axis=1)([L.Reshape((1, 8))(gated(y, 8)) for y in each])
    y = L.Flatten()(L.Dot(axes=1)([L.Reshape((6, 1))(weights), parts]))
    return kit.model(x, L.Dense(1, activation="sigmoid")(y), "binary_crossentropy")


@ROOM.of(KERAS + "tabtransformer/", labels=1, high={"kinds": 20})
def tab_transformer(kit: Kit):
    L = kit.layers
    numbers = kit.api.Input((5,), name="numbers")
    kinds = kit.api.Input((6,), dtype="int32", name="kinds")
    y = L.Embedding(20, 16)(kinds)
    for _ in range(2):
        z = L.MultiHeadAttention(4, 16, dropout=kit.noisy(0.2))(y, y)
        y = L.LayerNormalization(epsilon=1e-6)(L.Add()([z, y]))
        z = L.Dense(16)(kit.dropout(0.2)(L.Dense(16, activation="gelu")(y)))
        y = L.LayerNormalization(epsilon=1e-6)(L.Add()([z, y]))
    y = L.Concatenate()([L.Flatten()(y), L.LayerNormalization(epsilon=1e-6)(numbers)])
    for width in (32, 16):
        y = L.Dense(width, activation="selu")(L.BatchNormalization()(y))
        y = kit.dropout(0.2)(y)
    y = L.Dense(1, activation="sigmoid")(y)
    optimizer = kit.api.optimizers.AdamW(learning_rate=0.001, weight_decay=0.0001)
    return kit.model([numbers, kinds], y, "binary_crossentropy", optimizer)


@ROOM.of("https://www.tensorflow.org/tutorials/keras/regression")
def fuel(kit: Kit):
    L = kit.layers
    body = [L.Normalization(mean=[0.2] * 9, variance=[1.4] * 9)]
    body += [L.Dense(64, activation="relu"), L.Dense(64, activation="relu")]
    loss, optimizer = "mean_absolute_error", kit.api.optimizers.Adam(0.001)
    return kit.stack((9,), [*body, L.Dense(1)], loss, optimizer)


@ROOM.of("https://www.tensorflow.org/tutorials/keras/overfit_and_underfit", labels=1)
def higgs(kit: Kit):
    L, body = kit.layers, []
    for _ in range(3):
        l2 = kit.api.regularizers.L2(0.0001)
        body += [L.Dense(48, activation="elu", kernel_regularizer=l2), kit.dropout(0.5)]
    loss = kit.api.losses.BinaryCrossentropy(from_logits=True)
    return kit.stack((28,), [*body, L.Dense(1)], loss)


@ROOM.of("https://arxiv.org/abs/1706.02515", labels=4)
def self_normalizing(kit: Kit):
    L, body = kit.layers, []
    for _ in range(3):
        body += [L.Dense(24, activation="selu", kernel_initializer="lecun_normal")]
        body += [L.AlphaDropout(kit.noisy(0.1))]
    loss = "sparse_categorical_crossentropy"
    return kit.stack((12,), [*body, L.Dense(4, activation="softmax")], loss, "sgd")


@ROOM.of(
    KERAS + "collaborative_filtering_for_movielens/",
    labels=1,
    high={"user": 100, "movie": 200},
)
def movies(kit: Kit):
    """A product of two embeddings and a bias of each."""
    L = kit.layers
    user, movie = (
        kit.api.Input((1,), dtype="int32", name=name) for name in ("user", "movie")
    )
    l2 = kit.api.regularizers.L2(1e-6)

    def table(size, width, ids):
        made = L.Embedding(
            size, width, embeddings_initializer="he_normal", embeddings_regularizer=l2
        )
        return L.Flatten()(made(ids))

    y = L.Dot(axes=1)([table(100, 16, user), table(200, 16, movie)])
    y = L.Add()([y, table(100, 1, user), table(200, 1, movie)])
    y = L.Activation("sigmoid")(y)
    return kit.model([user, movie], y, "binary_crossentropy")


@ROOM.of("https://arxiv.org/abs/1708.05031", labels=1, high={"user": 100, "item": 200})
def neural_filtering(kit: Kit):
    """NCF: a product and a perceptron of two pairs of embeddings."""
    L = kit.layers
    user, item = (
        kit.api.Input((1,), dtype="int32", name=name) for name in ("user", "item")
    )

    def pair():
        return [
            L.Flatten()(L.Embedding(size, 8)(ids))
            for size, ids in ((100, user), (200, item))
        ]

    product = L.Multiply()(pair())
    deep = L.Concatenate()(pair())
    for width in (16, 8):
        deep = L.Dense(width, activation="relu")(deep)
    y = L.Dense(1, activation="sigmoid")(L.Concatenate()([product, deep]))
    return kit.model([user, item], y, "binary_crossentropy")


@ROOM.of("https://keras.io/examples/rl/actor_critic_cartpole/", labels=2)
def policy(kit: Kit):
    """The actor's half of an actor and a critic."""
    L = kit.layers
    body = [L.Dense(32, activation="relu"), L.Dense(2, activation="softmax")]
    loss = "sparse_categorical_crossentropy"
    return kit.stack((4,), body, loss, kit.api.optimizers.Adam(0.01))


@ROOM.of("https://github.com/FedCampus/FedKit/issues/10")
def federated_regression(kit: Kit):
    L = kit.layers
    body = [L.Dense(16, activation="relu"), L.Dense(1)]
    return kit.stack((2,), body, "mean_squared_error", "sgd")
