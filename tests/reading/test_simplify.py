"""What is left out of a model before training, and layers that need no gradient."""

import keras
import numpy as np
import pytest
import tf_keras

import tflite_odl as odl
from tests.reading import nets
from tflite_odl.errors import ModelError
from tflite_odl.methods import Finetune
from tflite_odl.proof.cache import Cache
from tflite_odl.reading import keras3
from tflite_odl.reading.load import load
from tflite_odl.reading.rebuild import all_layers
from tflite_odl.reading.simplify import AUGMENTATION, simplified

KERASES = [keras, tf_keras]


@pytest.fixture(autouse=True)
def _fresh_names():
    tf_keras.backend.clear_session()
    keras.utils.clear_session()


def augmented(api):
    """Augmentation in a model of its own, a layer by itself, and a head."""
    layers = api.layers
    first = [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)]
    x = api.Input((6, 6, 2))
    y = api.Sequential([api.Input((6, 6, 2)), *first], name="first")(x)
    y = layers.RandomContrast(0.2)(layers.Rescaling(0.5)(y))
    y = layers.Conv2D(3, 3, name="conv")(y)
    return api.Model(x, layers.Dense(3, name="top")(layers.Flatten()(y)))


@pytest.mark.parametrize("api", KERASES)
def test_augmentation_is_left_out_and_said(api, tmp_path, recwarn):
    model = augmented(api)
    model.save(tmp_path / "m.keras")
    loaded = load(tmp_path / "m.keras")
    method = Finetune(loaded.model, loss="sparse_cross_entropy")
    said = [*loaded.notes, *(str(w.message) for w in recwarn)]
    for layer in ("first/random_flip", "first/random_rotation", "random_contrast"):
        assert any(f"{layer!r}" in note and "left out" in note for note in said)
    kinds = {type(layer).__name__ for _, layer in all_layers(method.network.model)}
    assert not kinds.intersection(AUGMENTATION)
    x = nets.inputs(model)
    want = model(x, training=False)  # without it, tf_keras augments
    assert nets.difference(want, method.network.model(x)) <= 1e-6


def test_augmentation_that_only_keras3_has():
    layers = keras.layers
    pipeline = layers.Pipeline([layers.RandomHue(0.1), layers.RandomErasing()])
    stack = [pipeline, layers.RandAugment(), layers.Flatten(), layers.Dense(2)]
    model = keras.Sequential([keras.Input((4, 4, 3)), *stack])
    twin, notes = keras3.from_keras3(model)
    assert sum("augmentation is left out" in note for note in notes) == 2
    assert len([layer for _, layer in all_layers(twin) if layer.weights]) == 1


@pytest.mark.parametrize("api", KERASES)
def test_a_random_crop_is_refused(api):
    stack = [api.layers.RandomCrop(3, 3, name="crop"), api.layers.Flatten()]
    model = api.Sequential([api.Input((6, 6, 1)), *stack, api.layers.Dense(2)])
    with pytest.raises(ModelError, match="'crop' .RandomCrop.*CenterCrop"):
        keras3.from_keras3(model) if api is keras else simplified(model)


@pytest.mark.parametrize("api", KERASES)
def test_a_spectral_normalization_is_the_layer_within(api):
    layers = api.layers
    norm = layers.SpectralNormalization(layers.Dense(5, "relu", name="in"), name="sn")
    model = api.Sequential([api.Input((4,)), norm, layers.Dense(2, name="top")])
    model(np.ones((3, 4), np.float32), training=True)
    found = keras3.from_keras3 if api is keras else simplified
    twin, notes = found(model)
    (note,) = notes
    assert "'sn'" in note and "without being normalized anew" in note
    assert [path for path, _ in all_layers(twin)] == ["sn", "top"]
    x = nets.inputs(model)
    assert nets.difference(model(x), twin(x)) <= 1e-6


def test_a_model_without_such_layers_stays_itself():
    model = nets.mlp(tf_keras)
    assert simplified(model) == (model, [])


def test_preprocessing_and_alpha_dropout_in_litert():
    """Sizes, categories and bins from the inputs on, and dropout of selus."""
    layers = tf_keras.layers
    image, level = tf_keras.Input((7, 7, 1), name="image"), tf_keras.Input((2,))
    kind, kinds = (tf_keras.Input((n,), dtype="int32", name=f"of{n}") for n in (1, 4))
    bounds = [-0.5, 0.0, 0.7]
    binned = layers.Discretization(bounds, output_mode="one_hot")
    y = layers.Concatenate()(
        [
            layers.Flatten()(layers.Resizing(4, 5)(image)),
            layers.CategoryEncoding(5, output_mode="one_hot")(kind),
            layers.CategoryEncoding(6, output_mode="multi_hot")(kinds),
            binned(level[:, :1]),
            binned(level[:, 1:]),
        ]
    )
    y = layers.AlphaDropout(0.4)(layers.Dense(8, activation="selu")(y))
    model = tf_keras.Model([image, level, kind, kinds], layers.Dense(3)(y))
    odl.export(Finetune(model, loss="sparse_cross_entropy"), 4, cache=Cache(None))
