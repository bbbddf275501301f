"""Normalizations of each row by itself, against Keras' own gradients in float64."""

import pytest
from tf_keras import layers as kl

from tests.builtin.single import check

LAYERS = [
    kl.LayerNormalization(),
    kl.LayerNormalization(epsilon=1e-6),
    kl.LayerNormalization(center=False),
    kl.LayerNormalization(scale=False),
    kl.LayerNormalization(axis=(1, 2, 3)),
    kl.LayerNormalization(axis=(-1, -2)),
    kl.GroupNormalization(2),
    kl.GroupNormalization(1, scale=False),
    kl.GroupNormalization(4, center=False),
    kl.UnitNormalization(),
    kl.UnitNormalization(axis=(1, 2)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_of_images(layer):
    check(layer, shape=(9, 8, 3))


@pytest.mark.parametrize("shape", [(6,), (7, 6)])
@pytest.mark.parametrize(
    "layer",
    [kl.LayerNormalization, lambda: kl.GroupNormalization(3), kl.UnitNormalization],
)
def test_of_vectors_and_sequences(layer, shape):
    check(layer(), shape=shape, batch=1)
