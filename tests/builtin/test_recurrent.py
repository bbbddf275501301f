"""Recurrent layers, unrolled, against Keras' own loops and gradients."""

import numpy as np
import pytest
import tf_keras
from tf_keras import layers as kl

from tests.builtin.single import check, check_model
from tflite_odl.errors import ModelError
from tflite_odl.reading.graph import from_keras

KINDS = {
    "lstm": kl.LSTM,
    "gru": kl.GRU,
    "gru-before": lambda *args, **kw: kl.GRU(*args, reset_after=False, **kw),
    "simple": kl.SimpleRNN,
}
OPTIONS = {
    "last": {},
    "sequence": {"return_sequences": True},
    "backwards": {"go_backwards": True},
    "reversed": {"go_backwards": True, "return_sequences": True},
    "plain": {"use_bias": False, "activation": "relu", "return_sequences": True},
}
# As many steps as two levels of joining take.
SHAPE = (7, 5)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_one_way(kind, options):
    check(KINDS[kind](4, **options), shape=SHAPE)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("inner", ["hard_sigmoid", "relu"])
def test_other_gates(kind, inner):
    check(KINDS[kind](4, recurrent_activation=inner), shape=SHAPE)


@pytest.mark.parametrize("merge", ["concat", "sum", "ave", "mul"])
@pytest.mark.parametrize("sequences", [False, True])
def test_both_ways(merge, sequences):
    layer = kl.GRU(4, return_sequences=sequences)
    check(kl.Bidirectional(layer, merge_mode=merge), shape=SHAPE)


def test_both_ways_apart():
    x = kl.Input(SHAPE)
    y = kl.Bidirectional(kl.LSTM(3), merge_mode=None)(kl.Dense(4)(x))
    check_model(tf_keras.Model(x, kl.Dense(3)(kl.Subtract()(y))))


def masked_model(*layers):
    x = kl.Input(SHAPE)
    y = kl.Dense(6)(kl.Masking(0.5)(x))
    for layer in layers:
        y = layer(y)
    return tf_keras.Model(x, kl.Dense(3)(kl.Flatten()(y)))


def masked_rows():
    """Rows with masked steps at the end, at the start, in between, and with none."""
    x = np.random.default_rng(0).normal(size=(4, *SHAPE)).astype(np.float32)
    x[0, 4:] = x[1, :2] = x[2, 3] = 0.5
    return x


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_masked_steps_leave_the_state_as_it_is(kind, options):
    check_model(masked_model(KINDS[kind](4, **options)), 4, x=masked_rows())


def test_masks_go_from_layer_to_layer():
    stack = [
        kl.Bidirectional(kl.LSTM(3, return_sequences=True)),
        kl.Dropout(0.0),
        kl.LayerNormalization(),
        kl.GRU(4, return_sequences=True),
        kl.GlobalAveragePooling1D(),
    ]
    check_model(masked_model(*stack), 4, x=masked_rows())


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"stateful": True}, "stateful"),
        ({"return_state": True}, "return_state"),
        ({"activation": "gelu"}, "activation 'gelu'"),
        ({"recurrent_dropout": 0.1}, "recurrent_dropout=0.1"),
    ],
)
def test_what_has_no_lowering_is_refused(options, what):
    x = kl.Input(SHAPE, batch_size=2)
    y = kl.LSTM(4, **options)(kl.Dense(3, name="first")(x))
    y = y[0] if isinstance(y, list) else y
    model = tf_keras.Model(x, kl.Dense(3)(y))
    with pytest.raises(ModelError, match=f"'lstm.*{what}"):
        from_keras(model, {"first"})


def test_an_initial_state_is_refused():
    x, state = kl.Input(SHAPE), kl.Input((4,))
    y = kl.SimpleRNN(4)(kl.Dense(3, name="first")(x), initial_state=state)
    model = tf_keras.Model([x, state], kl.Dense(3)(y))
    with pytest.raises(ModelError, match="an initial state"):
        from_keras(model, {"first"})


def test_a_masked_output_is_said():
    x = kl.Input(SHAPE)
    y = kl.LSTM(4, return_sequences=True)(kl.Masking()(x))
    model = tf_keras.Model(x, kl.Dense(3, name="head")(y))
    with pytest.warns(UserWarning, match="output has a mask"):
        from_keras(model, {"head"})
