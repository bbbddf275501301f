"""Losses over outputs of any shape: artifacts against Keras' own training step."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tests import nets
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.errors import ModelError
from tflite_odl.exporter.export import export
from tflite_odl.host import loop
from tflite_odl.host.session import Session
from tflite_odl.methods import Finetune, Skip
from tflite_odl.reading.graph import variables
from tflite_odl.reading.load import load

APIS = {"keras3": keras, "tf_keras": tf_keras}
ROWS = 4


def sequence(api, units, ending=None):
    """An output for every step of time, [5, units]."""
    api.utils.set_random_seed(0)
    kl = api.layers
    return api.Sequential(
        [
            kl.Input((5, 3)),
            kl.Conv1D(6, 3, padding="same", activation="tanh", name="conv"),
            kl.Dense(units, activation=ending, name="head"),
        ]
    )


def single(api, ending):
    api.utils.set_random_seed(0)
    kl = api.layers
    hidden = kl.Dense(4, activation="tanh", name="hidden")
    return api.Sequential([kl.Input((3,)), hidden, kl.Dense(1, ending, name="head")])


def images(api):
    """Images from images: an autoencoder's shape, [4, 4, 2]."""
    api.utils.set_random_seed(0)
    kl = api.layers
    first = kl.Conv2D(3, 3, padding="same", activation="tanh", name="conv")
    return api.Sequential(
        [kl.Input((4, 4, 2)), first, kl.Conv2D(2, 3, padding="same", name="head")]
    )


def integers(shape):
    return np.random.default_rng(1).integers(0, 3, shape)


def one_hot(shape):
    return np.eye(3, dtype=np.float32)[integers(shape[:-1])]


def bits(shape):
    return np.random.default_rng(1).integers(0, 2, shape).astype(np.float32)


def reals(shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


CASES = {
    "tagging": (
        lambda api: sequence(api, 3, "softmax"),
        lambda of: "sparse_categorical_crossentropy",
        lambda: integers((ROWS, 5)),
    ),
    "one_hot": (
        lambda api: sequence(api, 3),
        lambda of: of.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        lambda: one_hot((ROWS, 5, 3)),
    ),
    "many_of_each_step": (
        lambda api: sequence(api, 2, "sigmoid"),
        lambda of: "binary_crossentropy",
        lambda: bits((ROWS, 5, 2)),
    ),
    "one_unit": (
        lambda api: single(api, "sigmoid"),
        lambda of: of.BinaryCrossentropy(),
        lambda: bits((ROWS,)),
    ),
    "one_number": (
        lambda api: single(api, None),
        lambda of: "mae",
        lambda: reals(ROWS),
    ),
    "autoencoder": (images, lambda of: "mse", lambda: reals((ROWS, 4, 4, 2))),
    "huber": (images, lambda of: of.Huber(0.7), lambda: reals((ROWS, 4, 4, 2))),
    "cosine": (
        lambda api: sequence(api, 4),
        lambda of: of.CosineSimilarity(),
        lambda: reals((ROWS, 5, 4)),
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("api", APIS)
def test_a_step_equals_keras_own(api, name, tmp_path):
    api, (make, loss, labels) = APIS[api], CASES[name]
    model, y = make(api), labels()
    model.compile(api.optimizers.SGD(0.1), loss(api.losses))
    model.save(tmp_path / "m.keras")
    shape = model.input_shape[1:]
    x = np.random.default_rng(2).normal(size=(ROWS, *shape)).astype(np.float32)
    # Keras 3 saves no delta of Huber.
    model = api.models.load_model(tmp_path / "m.keras")
    method = Finetune(load(tmp_path / "m.keras"))
    export(method, ROWS).save(tmp_path / "artifact")
    with Session(tmp_path / "artifact") as session:
        predicted = np.asarray(model(x))
        if method.loss.ending and "logits" in method.endings.values():
            predicted = tf.nn.softmax(predicted)
        np.testing.assert_allclose(session.infer(x), predicted, atol=1e-6)
        before = session.evaluate(x, y)
        done = session.train(x=x, y=y)
        after = session.state()
    want = model.train_on_batch(x, y)
    # A few float32 roundings of a loss of order one.
    np.testing.assert_allclose(done["loss"], [want], rtol=2e-6)
    np.testing.assert_allclose(before["loss"], want, rtol=2e-6)
    for weight, value in zip(
        variables(method.network.model), model.get_weights(), strict=True
    ):
        moved = np.abs(value - method.state()[weight].value).max()
        assert moved > 1e-5
        # Sums in another order.
        np.testing.assert_allclose(after[weight], value, atol=1e-5 * moved + 2e-7)


def test_skip_needs_a_class_for_each_row():
    with pytest.raises(ModelError, match=r"skip needs an output \[C\].*\[4, 6, 3\]"):
        Skip(nets.places_net())


def test_a_bad_place_spoils_its_row_and_an_unlabelled_one_does_not(build):
    with Session(build("finetune-places")) as session:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(nets.BATCH, 4, 6, 2)).astype(np.float32)
        y = rng.integers(0, 3, (nets.BATCH, 4, 6))
        y[0, 1, 2], y[1, 0, 0] = 3, -1
        done = session.train(x=x, y=y)
        assert done["rejected_rows"] == [1] and done["accepted"] == [1]
        found = session.evaluate(x, y)
        assert found["count"] == 5 * 24 - 1
        assert session.infer(x).shape == (nets.BATCH, 4, 6, 3)


def two(api):
    """A class and a box of an image, and a part that only the box is made of."""
    api.utils.set_random_seed(0)
    kl = api.layers
    inputs = kl.Input((4, 4, 2))
    x = kl.Conv2D(3, 3, activation="tanh", name="conv")(inputs)
    y = kl.Dense(4, activation="tanh", name="of_box")(kl.Flatten(name="flat")(x))
    pooled = kl.GlobalAveragePooling2D(name="pool")(x)
    found = kl.Dense(3, activation="softmax", name="cls")(pooled)
    steps = kl.Reshape((2, 2), name="box")(kl.Dense(4, name="corners")(y))
    return api.Model(inputs, [found, steps])


def of_two(step: int = 3):
    rng = np.random.default_rng(step)
    x = rng.normal(size=(ROWS, 4, 4, 2)).astype(np.float32)
    return x, rng.integers(0, 3, ROWS), reals((ROWS, 2, 2))


LOSSES = {"cls": "sparse_categorical_crossentropy", "box": "mse"}


@pytest.mark.parametrize("form", ["dict", "list"])
@pytest.mark.parametrize("api", APIS)
def test_several_outputs_learn_as_they_were_compiled(api, form, tmp_path):
    api = APIS[api]
    model, weights = two(api), {"cls": 0.5, "box": 2.0}
    loss = LOSSES if form == "dict" else [*LOSSES.values()]
    weights = weights if form == "dict" else [*weights.values()]
    model.compile(api.optimizers.SGD(0.1), loss, loss_weights=weights)
    model.save(tmp_path / "m.keras")
    method = Finetune(load(tmp_path / "m.keras"))
    assert method.config.loss == "cls:sparse_cross_entropy,box:mean_squared_error"
    assert dict(method.config.loss_weights) == {"cls": 0.5, "box": 2.0}
    x, y_cls, y_box = of_two()
    export(method, ROWS).save(tmp_path / "artifact")
    with Session(tmp_path / "artifact") as session:
        found, wanted = session.infer(x), model.predict(x, verbose=0)
        assert list(found) == ["probabilities_cls", "predictions_box"]
        for one, other in zip(found.values(), wanted, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
        told = session.evaluate(x, y_cls=y_cls, y_box=y_box)
        done = session.train(x=x, y_cls=y_cls, y_box=y_box)
        after = session.state()
        # Rows without a label in one of them learn by the other.
        y_box[:2], y_box[2, 0, 0] = np.nan, np.nan
        more = session.train(x=x, y_cls=y_cls, y_box=y_box)
        assert more["accepted"] == [1] and more["rejected_rows"] == [1]
        session.train(x=x, y_cls=y_cls)
    _, y_cls, y_box = of_two()
    want = model.train_on_batch(x, [y_cls, y_box])
    # A few float32 roundings of a loss of order one.
    np.testing.assert_allclose(done["loss"], np.ravel(want)[:1], rtol=2e-6)
    assert told["count"] == told["count_cls"] == ROWS and told["count_box"] == 2 * ROWS
    assert told["accuracy_cls"] == told["correct_cls"] / ROWS
    off = np.abs(wanted[1] - y_box).mean()
    np.testing.assert_allclose(told["absolute_error_box"], off, rtol=1e-5)
    names = [*variables(method.source_model)]
    for weight, value in zip(names, model.get_weights(), strict=True):
        moved = np.abs(value - method.state()[weight].value).max()
        np.testing.assert_allclose(after[weight], value, atol=1e-5 * moved + 2e-7)


def test_one_of_several_outputs_is_learned_alone(tmp_path):
    model = two(keras)
    model.compile("sgd", LOSSES, loss_weights={"cls": 0.5, "box": 2.0})
    model.save(tmp_path / "m.keras")
    loaded = load(tmp_path / "m.keras", output="cls")
    method = Finetune(loaded, learning_rate=0.1)
    assert method.config.loss == "sparse_cross_entropy"
    names = {name for name, t in method.state().items() if t.spec.role == "weight"}
    assert names == {"conv_kernel", "conv_bias", "cls_kernel", "cls_bias"}
    x, y_cls, _ = of_two()
    state = {name: t.value for name, t in method.state().items()}
    inputs = {"x": x, "y": y_cls.astype(np.int32), "count": np.array([ROWS])}
    loss = method.train(state, inputs).outputs["loss"]
    probabilities = np.asarray(model(x)[0])[range(ROWS), y_cls]
    # Half of it, as in Keras' sum; two roundings of a logarithm.
    np.testing.assert_allclose(loss, [-0.5 * np.log(probabilities).mean()], rtol=2e-6)
    assert Skip(loaded).config.loss == "sparse_cross_entropy"
    with pytest.raises(ModelError, match=r"skip needs one output.*'cls', 'box'.*--out"):
        Skip(load(tmp_path / "m.keras"))
    with pytest.raises(ModelError, match=r"no output 'claws', it has \['cls', 'box'\]"):
        load(tmp_path / "m.keras", output="claws")


@pytest.mark.parametrize("api", APIS)
def test_outputs_in_a_dict_have_its_keys_for_names(api, tmp_path):
    api = APIS[api]
    model = two(api)
    outputs = dict(zip(("kind", "a.place"), model.outputs, strict=True))
    model = api.Model(model.inputs, outputs)
    losses = {"kind": LOSSES["cls"], "a.place": "mse"}
    model.compile(
        api.optimizers.SGD(0.1), losses, loss_weights={"kind": 1, "a.place": 3}
    )
    model.save(tmp_path / "m.keras")
    method = Finetune(load(tmp_path / "m.keras"))
    wanted = "a_place:mean_squared_error,kind:sparse_cross_entropy"
    assert method.config.loss == wanted
    x, y_cls, y_box = of_two()
    state = {name: t.value for name, t in method.state().items()}
    inputs = {"x": x, "y_kind": y_cls.astype(np.int32), "y_a_place": y_box}
    outcome = method.train(state, {**inputs, "count": np.array([ROWS])})
    want = model.train_on_batch(x, {"kind": y_cls, "a.place": y_box})
    # A few float32 roundings of a loss of order one.
    np.testing.assert_allclose(outcome.outputs["loss"], np.ravel(want)[:1], rtol=2e-6)


def test_losses_of_several_outputs_are_told_by_name():
    model = two(tf_keras)
    with pytest.raises(ModelError, match=r"'corners'.*linear.*--loss"):
        Finetune(model)
    method = Finetune(model, loss="cls:sparse_cross_entropy,box:huber", huber_delta=0.5)
    assert method.loss.parts["box"].huber_delta == 0.5
    with pytest.raises(ModelError, match=r"each of the outputs \['cls', 'box'\]"):
        Finetune(model, loss="cls:sparse_cross_entropy")
    with pytest.raises(ModelError, match=r"loss_weights are for \['other'\]"):
        Finetune(model, loss="mean_squared_error", loss_weights={"other": 1.0})
    with pytest.raises(ModelError, match="has no label_smoothing"):
        Finetune(model, loss="mean_squared_error", label_smoothing=0.1)


def test_an_output_that_others_read_keeps_its_softmax():
    tf_keras.utils.set_random_seed(0)
    kl = tf_keras.layers
    inputs = kl.Input((3,))
    found = kl.Dense(3, activation="softmax", name="cls")(inputs)
    model = tf_keras.Model(inputs, [found, kl.Dense(2, name="box")(found)])
    with pytest.raises(ModelError, match="'cls' ends the model in softmax and is used"):
        Finetune(model, loss="cls:sparse_cross_entropy,box:huber")


def test_hidden_labels_are_none_and_not_bad(tmp_path):
    """Whole numbers 0 and 1 for a label that is marked by NaN where it is not there."""
    method = Finetune(single(tf_keras, "sigmoid"))
    export(method, ROWS, serving=False).save(tmp_path / "artifact")

    def batches(start):
        while True:
            yield reals((ROWS, 3)), np.ones(ROWS, np.int64)

    with Session(tmp_path / "artifact", checkpoint_dir=tmp_path) as session:
        summary = loop.run(
            session, batches, 2, tmp_path / "run", hide=loop.hidden(1.0, 0)
        )
    assert summary.rejected_rows == 0 and summary.steps == 0


def test_a_model_that_takes_bytes_is_given_bytes(tmp_path):
    kl = keras.layers
    stack = [kl.Input((4,), dtype="uint8"), kl.Rescaling(1 / 255)]
    model = keras.Sequential([*stack, kl.Dense(3, activation="softmax", name="head")])
    model.save(tmp_path / "m.keras")
    loaded = load(tmp_path / "m.keras")
    export(Finetune(loaded), ROWS, serving=False).save(tmp_path / "artifact")
    x = np.random.default_rng(0).integers(0, 256, (ROWS, 4)).astype(np.uint8)
    with Session(tmp_path / "artifact") as session:
        np.testing.assert_allclose(session.infer(x), model(x), atol=1e-6)
    with pytest.raises(ModelError, match="'x' of the model is uint8.*--input_dtype"):
        Finetune(loaded, preprocessing=Preprocessing("float32"))
