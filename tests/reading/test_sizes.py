"""Models with open sizes, and models of a user's own class."""

import keras
import numpy as np
import pytest
import tf_keras

from tests.reading import nets
from tflite_odl.errors import ModelError
from tflite_odl.reading.graph import from_keras
from tflite_odl.reading.load import load

KERASES = [keras, tf_keras]


@pytest.fixture(autouse=True)
def _fresh_names():
    tf_keras.backend.clear_session()
    keras.utils.clear_session()


def of_any_size(api):
    x = api.Input((None, None, 3))
    y = api.layers.Conv2D(4, 3, activation="relu")(x)
    inner = api.Sequential([api.Input((None, None, 4)), api.layers.Conv2D(2, 1)])
    y = api.layers.GlobalAveragePooling2D()(inner(y))
    return api.Model(x, api.layers.Dense(2)(y))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("api", KERASES)
def test_open_sizes_are_given(api, suffix, tmp_path):
    model, path = of_any_size(api), tmp_path / f"m{suffix}"
    model.save(path)
    found = load(path, input_shape=(9, 8, 3)).model
    assert from_keras(found, ()).inputs[0].shape == (9, 8, 3)
    x = np.random.default_rng(0).normal(size=(2, 9, 8, 3)).astype(np.float32)
    assert nets.difference(model(x), found(x)) <= 1e-6
    with pytest.raises(ModelError, match="--input_shape=96,96,3"):
        load(path)
    with pytest.raises(ModelError, match="does not fit"):
        load(path, input_shape=(9, 8, 1))


def test_a_shape_that_is_fixed_stays(tmp_path):
    nets.mlp(tf_keras).save(tmp_path / "m.keras")
    assert load(tmp_path / "m.keras", input_shape=(9, 8, 3)).model.input_shape[1:] == (
        6,
    )


def own(api):
    """A functional model of a class with its own train_step, as a part of another."""

    class Trainer(api.Model):
        def train_step(self, data):
            return {"loss": 0.0}

    x = api.Input((4,))
    inner = Trainer(x, api.layers.Dense(3, name="fc")(x), name="inner")
    y = api.Input((4,))
    return Trainer(y, api.layers.Dense(2, name="top")(inner(y)), name="outer")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("api", KERASES)
def test_an_own_train_step_is_left_behind(api, suffix, tmp_path):
    model, path = own(api), tmp_path / f"m{suffix}"
    model.save(path)
    loaded = load(path)
    said = [note for note in loaded.notes if "'Trainer'" in note]
    assert len(said) == 2 and "'outer'" in said[0] and "train_step" in said[0]
    x = nets.inputs(model)
    assert nets.difference(model(x), loaded.model(x)) <= 1e-6
