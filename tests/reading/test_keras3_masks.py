"""Keras 3 models with masks are rebuilt, and the masks go where they went."""

import keras
import numpy as np
import pytest
import tf_keras

from tests.reading import nets
from tflite_odl.errors import ModelError
from tflite_odl.reading.load import load

# As compare.TOLERANCE: float32 sums in another order.
CLOSE = 1e-6


def _tokens():
    layers = keras.layers
    x = keras.Input((6,), dtype="int32")
    y = layers.Embedding(9, 4, mask_zero=True)(x)
    y = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(y)
    y = layers.Add()([y, layers.MultiHeadAttention(2, 3)(y, y)])
    return keras.Model(x, layers.Dense(2)(layers.GRU(3)(y)))


def _steps():
    layers = keras.layers
    x = keras.Input((6, 3))
    y = layers.Masking(0.5)(x)
    y = layers.SimpleRNN(4, return_sequences=True)(layers.Dense(5)(y))
    return keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(y)))


def _mean_of_tokens():
    """Of so few tokens that random ones often are all masked: a mean of nothing."""
    layers = keras.layers
    x = keras.Input((2,), dtype="int32")
    y = layers.Embedding(9, 4, mask_zero=True)(x)
    return keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(y)))


@pytest.mark.parametrize("make", [_tokens, _steps, _mean_of_tokens])
def test_masked_rows_come_out_as_in_keras3(make, tmp_path):
    model = nets.randomize(make())
    model.save(tmp_path / "m.keras")
    twin = load(tmp_path / "m.keras").model
    assert isinstance(twin, tf_keras.Model)
    rng, shape = np.random.default_rng(0), model.input_shape[1:]
    if len(shape) == 1:
        x = rng.integers(1, 9, (4, *shape)).astype("int32")
        x[0, shape[0] // 2 + 1 :] = x[2, 1:] = 0
    else:
        x = rng.normal(size=(4, *shape)).astype("float32")
        x[0, 4:] = x[2, :3] = 0.5
    want, have = (each(x, training=False) for each in (model, twin))
    assert nets.difference(want, have) <= CLOSE


def test_a_layer_that_keeps_its_state_is_refused_in_our_words(tmp_path):
    x = keras.Input((5, 3), batch_size=4)
    y = keras.layers.Bidirectional(keras.layers.GRU(2, stateful=True), name="both")(x)
    keras.Model(x, keras.layers.Dense(2)(y)).save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match="'both.*stateful=True would keep.*windows"):
        load(tmp_path / "m.keras")
