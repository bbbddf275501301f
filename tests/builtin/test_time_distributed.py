"""Layers at every step of a sequence, against Keras' TimeDistributed."""

import pytest
import tf_keras
from tf_keras import layers as kl

from tests.builtin.single import check_model
from tflite_odl.errors import ModelError
from tflite_odl.reading.graph import from_keras

STEPS = 3


def over_time(*layers, shape=(5, 4, 2)):
    """A convolution below, so that the layers' input gradient matters, too."""
    x = y = kl.Input((STEPS, *shape))
    below = kl.Conv2D(3, 1, use_bias=False)
    for layer in (below, *layers):
        y = kl.TimeDistributed(layer)(y)
    return tf_keras.Model(x, kl.Dense(3)(kl.Flatten()(y)))


STACKS = {
    "image": [kl.Conv2D(4, 3, 2, "same", activation="relu"), kl.MaxPooling2D(2)],
    "norm": [kl.BatchNormalization(), kl.DepthwiseConv2D(2), kl.Flatten(), kl.Dense(2)],
    "mean": [kl.Conv2D(4, 3, activation="swish"), kl.GlobalAveragePooling2D()],
    "model": [
        tf_keras.Sequential([kl.Input((5, 4, 3)), kl.Conv2D(2, 2), kl.ReLU()]),
        kl.Reshape((4, 6)),
        kl.LSTM(3),
    ],
}


@pytest.mark.parametrize("name", STACKS)
def test_at_every_step(name):
    check_model(over_time(*STACKS[name]))


def test_what_draws_is_refused_inside():
    model = over_time(kl.Dropout(0.5))
    with pytest.raises(ModelError, match="draws at random.*outside of TimeDistributed"):
        from_keras(model, {layer.name for layer in model.layers})
