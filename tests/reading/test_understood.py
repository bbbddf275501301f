"""What a Keras file says is kept to, or refused by name, never ignored silently."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.methods import Finetune
from tflite_odl.reading import understood
from tflite_odl.reading.layers import CONVERTERS
from tflite_odl.reading.load import load

APIS = {"tf_keras": tf_keras, "keras3": keras}


def transfer(api, freeze):
    """A nested base with a batch norm, and a head."""
    kl = api.layers
    inputs = kl.Input((6, 6, 2))
    x = kl.Conv2D(4, 3, name="conv")(inputs)
    x = kl.BatchNormalization(name="norm")(x)
    base = api.Model(inputs, kl.ReLU()(x), name="base")
    freeze(base)
    outside = kl.Input((6, 6, 2))
    x = kl.GlobalAveragePooling2D()(base(outside))
    return api.Model(outside, kl.Dense(3, name="head")(x))


def whole(base):
    base.trainable = False


def first(base):
    base.layers[1].trainable = False


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("freeze", [whole, first], ids=["whole", "first"])
@pytest.mark.parametrize("api", APIS)
def test_what_the_file_freezes_keeps_still_as_in_its_own_fit(
    api, freeze, suffix, tmp_path
):
    """Keras' own step of the file moves the same weights as the artifact would."""
    keras_of = APIS[api]
    keras_of.utils.set_random_seed(0)
    transfer(keras_of, freeze).save(tmp_path / f"m{suffix}")
    theirs = keras_of.models.load_model(tmp_path / f"m{suffix}", compile=False)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 6, 6, 2)).astype(np.float32)
    y = rng.integers(0, 3, 8)
    loss = keras_of.losses.SparseCategoricalCrossentropy(from_logits=True)
    theirs.compile(keras_of.optimizers.SGD(0.1), loss)
    before = [np.array(value) for value in theirs.get_weights()]
    theirs.train_on_batch(x, y)
    moved = sum(
        (a != b).any() for a, b in zip(before, theirs.get_weights(), strict=True)
    )
    method = Finetune(load(tmp_path / f"m{suffix}"), loss="sparse_cross_entropy")
    graph = method.network.graph
    assert len(graph.trainable) + len(graph.moving) == moved
    assert set(graph.trainable) >= {"head_kernel", "head_bias"}
    assert "base_conv_kernel" not in graph.trainable
    assert bool(graph.moving) == (freeze is first)


def test_a_flag_overrides_what_the_file_freezes():
    model = transfer(tf_keras, whole)
    assert (
        "base_conv_kernel"
        in Finetune(
            model, trainable="all", loss="sparse_cross_entropy"
        ).network.graph.trainable
    )


def test_a_file_in_which_nothing_learns_is_refused():
    model = transfer(tf_keras, whole)
    model.get_layer("head").trainable = False
    with pytest.raises(ModelError, match="is frozen.*--trainable.*to all, head"):
        Finetune(model, loss="sparse_cross_entropy")


def test_every_layer_that_is_read_says_which_keys_it_reads():
    assert CONVERTERS.keys() <= understood.LAYERS.keys()


@pytest.mark.parametrize(
    ("layer", "key"),
    [
        (tf_keras.layers.BatchNormalization(renorm=True), "renorm"),
        (tf_keras.layers.BatchNormalization(virtual_batch_size=2), "virtual_batch"),
        (tf_keras.layers.LayerNormalization(axis=-1), None),
    ],
)
def test_a_key_that_nothing_reads_is_refused_unless_it_is_at_its_default(layer, key):
    model = tf_keras.Sequential(
        [tf_keras.layers.Input((4, 3)), layer, tf_keras.layers.Dense(3)]
    )
    if key is None:
        understood.check_layer(model.layers[0], "norm")
        return
    with pytest.raises(ModelError, match=f"layer 'norm'.*{key}"):
        understood.check_layer(model.layers[0], "norm")


def test_keras3s_hard_sigmoid_is_its_own(tmp_path):
    """At -1 it is 1 / 3 there, .3 in tf_keras."""
    layers = [keras.layers.Input((3,)), keras.layers.Dense(3, "hard_sigmoid")]
    model = keras.Sequential([*layers, keras.layers.Dense(2)])
    model.save(tmp_path / "m.keras")
    x = np.linspace(-2, 2, 12, dtype=np.float32).reshape(4, 3)
    found = load(tmp_path / "m.keras").model(x)
    # A few roundings of float32.
    np.testing.assert_allclose(found, np.asarray(model(x)), atol=1e-6)


def test_a_class_with_the_name_of_a_layer_is_not_taken_for_it():
    class ReLU(tf_keras.layers.ReLU):
        def call(self, x):
            return -super().call(x)

    layers = [tf_keras.layers.Input((3,)), tf_keras.layers.Dense(3), ReLU(name="mine")]
    model = tf_keras.Sequential([*layers, tf_keras.layers.Dense(2)])
    with pytest.raises(ModelError, match=r"layer 'mine' \(ReLU\) is of a class of its"):
        Finetune(model, loss="sparse_cross_entropy")
