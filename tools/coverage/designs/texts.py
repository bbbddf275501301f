"""Texts as numbers of words: classes, tags and what comes next."""

from __future__ import annotations

import numpy as np

from tools.coverage.designs.design import Kit, Room

ROOM = Room("text")
KERAS = "https://keras.io/examples/nlp/"
WORDS, LENGTH = 500, 24
_IDS = {"labels": 1, "high": {"": WORDS}}


def _ids(kit: Kit, length: int = LENGTH):
    return kit.api.Input((length,), dtype="int32")


@ROOM.of(KERAS + "text_classification_from_scratch/", **_IDS)
def text_cnn(kit: Kit):
    L, x = kit.layers, _ids(kit, 48)
    y = kit.dropout(0.5)(L.Embedding(WORDS, 24)(x))
    for _ in range(2):
        y = L.Conv1D(24, 7, padding="valid", activation="relu", strides=3)(y)
    y = L.Dense(24, activation="relu")(L.GlobalMaxPooling1D()(y))
    y = L.Dense(1, activation="sigmoid")(kit.dropout(0.5)(y))
    return kit.model(x, y, "binary_crossentropy")


@ROOM.of(KERAS + "bidirectional_lstm_imdb/", **_IDS)
def bidirectional(kit: Kit):
    L, x = kit.layers, _ids(kit)
    y = L.Embedding(WORDS, 16)(x)
    y = L.Bidirectional(L.LSTM(8, return_sequences=True))(y)
    y = L.Bidirectional(L.LSTM(8))(y)
    return kit.model(x, L.Dense(1, activation="sigmoid")(y), "binary_crossentropy")


@ROOM.of(KERAS + "text_classification_with_transformer/", labels=2, high={"": WORDS})
def text_transformer(kit: Kit):
    L, x = kit.layers, _ids(kit)
    y = L.Embedding(WORDS, 16)(x)
    places = x * 0 + np.arange(LENGTH, dtype="int32")
    y = y + L.Embedding(LENGTH, 16)(places)
    z = kit.dropout(0.1)(L.MultiHeadAttention(2, 16)(y, y))
    y = L.LayerNormalization(epsilon=1e-6)(y + z)
    z = kit.dropout(0.1)(L.Dense(16)(L.Dense(16, activation="relu")(y)))
    y = L.LayerNormalization(epsilon=1e-6)(y + z)
    y = kit.dropout(0.1)(L.GlobalAveragePooling1D()(y))
    y = kit.dropout(0.1)(L.Dense(20, activation="relu")(y))
    y = L.Dense(2, activation="softmax")(y)
    return kit.model(x, y, "sparse_categorical_crossentropy")


@ROOM.of("https://www.tensorflow.org/tutorials/keras/text_classification", **_IDS)
def bag_of_words(kit: Kit):
    L = kit.layers
    x = _ids(kit)
    y = kit.dropout(0.2)(L.Embedding(WORDS, 16)(x))
    y = kit.dropout(0.2)(L.GlobalAveragePooling1D()(y))
    return kit.model(x, L.Dense(1, activation="sigmoid")(y), "binary_crossentropy")


@ROOM.of("https://www.tensorflow.org/text/tutorials/text_classification_rnn", **_IDS)
def masked_rnn(kit: Kit):
    """Zeros are padding: the recurrent layer passes them over."""
    L, x = kit.layers, _ids(kit)
    y = L.Bidirectional(L.LSTM(8))(L.Embedding(WORDS, 16, mask_zero=True)(x))
    y = L.Dense(1)(L.Dense(16, activation="relu")(y))
    loss = kit.api.losses.BinaryCrossentropy(from_logits=True)
    return kit.model(x, y, loss, kit.api.optimizers.Adam(1e-4))


@ROOM.of(KERAS + "pretrained_word_embeddings/", labels=5, high={"": WORDS})
def frozen_words(kit: Kit):
    """The table of words is frozen."""
    L, x = kit.layers, _ids(kit, 60)
    y = L.Embedding(WORDS, 24, trainable=False)(x)
    for size in (5, 5):
        y = L.MaxPooling1D(3)(L.Conv1D(24, size, activation="relu")(y))
    y = L.Dense(24, activation="relu")(L.GlobalMaxPooling1D()(y))
    y = L.Dense(5, activation="softmax")(kit.dropout(0.5)(y))
    return kit.model(x, y, "sparse_categorical_crossentropy", "rmsprop")


@ROOM.of(
    "https://keras.io/examples/generative/lstm_character_level_text_generation/",
    labels=30,
    one_hot=True,
)
def characters(kit: Kit):
    L = kit.layers
    body = [L.LSTM(24), L.Dense(30, activation="softmax")]
    optimizer = kit.api.optimizers.RMSprop(learning_rate=0.01)
    return kit.stack((20, 30), body, "categorical_crossentropy", optimizer)


@ROOM.of(KERAS + "addition_rnn/", labels=12, one_hot=True)
def addition(kit: Kit):
    """A sum is read, then written digit by digit."""
    L = kit.layers
    body = [L.LSTM(24), L.RepeatVector(4), L.LSTM(24, return_sequences=True)]
    body += [L.Dense(12, activation="softmax")]
    return kit.stack((7, 12), body, "categorical_crossentropy")


@ROOM.of(KERAS + "ner_transformers/", labels=9, high={"": WORDS})
def entities(kit: Kit):
    """A tag for every word."""
    L, x = kit.layers, _ids(kit)
    y = L.Embedding(WORDS, 16)(x)
    z = L.MultiHeadAttention(2, 16)(y, y)
    y = L.LayerNormalization(epsilon=1e-6)(y + kit.dropout(0.1)(z))
    z = L.Dense(16)(L.Dense(32, activation="relu")(y))
    y = L.LayerNormalization(epsilon=1e-6)(y + kit.dropout(0.1)(z))
    y = L.Dense(32, activation="relu")(kit.dropout(0.1)(y))
    y = L.Dense(9, activation="softmax")(kit.dropout(0.1)(y))
    return kit.model(x, y, "sparse_categorical_crossentropy")


@ROOM.of("https://arxiv.org/abs/1408.5882", labels=6, high={"": WORDS})
def kim_cnn(kit: Kit):
    """Convolutions of several widths side by side, the maximum of each."""
    L, x = kit.layers, _ids(kit)
    y = L.Embedding(WORDS, 16)(x)
    parts = [
        L.GlobalMaxPooling1D()(L.Conv1D(12, size, activation="relu")(y))
        for size in (3, 4, 5)
    ]
    y = kit.dropout(0.5)(L.Concatenate()(parts))
    norm = kit.api.constraints.MaxNorm(3.0)
    y = L.Dense(6, activation="softmax", kernel_constraint=norm)(y)
    return kit.model(x, y, "sparse_categorical_crossentropy")


@ROOM.of("https://arxiv.org/abs/1607.01759", labels=6, high={"": WORDS})
def fast_text(kit: Kit):
    L, x = kit.layers, _ids(kit)
    y = kit.ops.mean(L.Embedding(WORDS, 12)(x), axis=1)
    y = L.Dense(6, activation="softmax")(y)
    return kit.model(x, y, "sparse_categorical_crossentropy", "adagrad")


@ROOM.of("https://arxiv.org/abs/1811.03604", labels=WORDS, high={"": WORDS})
def next_word(kit: Kit):
    """The federated keyboard's shape: a table, a GRU, and the table's words again."""
    L, x = kit.layers, _ids(kit, 8)
    y = L.GRU(24)(L.Embedding(WORDS, 12)(x))
    loss = kit.api.losses.SparseCategoricalCrossentropy(from_logits=True)
    return kit.model(x, L.Dense(WORDS)(L.Dense(12)(y)), loss, "sgd")
