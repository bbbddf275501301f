"""A model's compile configuration holds: steps equal Keras' own of the same file."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.exporter.export import export
from tflite_odl.host.session import Session
from tflite_odl.methods import Finetune, Skip
from tflite_odl.reading.graph import variables
from tflite_odl.reading.load import load

APIS = {"keras3": keras, "tf_keras": tf_keras}
FORMATS = [("keras3", ".keras"), ("keras3", ".h5")]
FORMATS += [("tf_keras", ".keras"), ("tf_keras", ".h5"), ("tf_keras", "")]
ROWS = 8


def net(api, ending=None, outputs=3):
    api.utils.set_random_seed(0)
    kl = api.layers
    return api.Sequential(
        [
            kl.Input((4,)),
            kl.Dense(6, activation="tanh", name="hidden"),
            kl.Dense(outputs, activation=ending, name="head"),
        ]
    )


def batch(loss: str, step: int = 0):
    rng = np.random.default_rng(step)
    x = rng.normal(size=(ROWS, 4)).astype(np.float32)
    if loss == "sparse_cross_entropy":
        return x, rng.integers(0, 3, ROWS).astype(np.int32)
    return x, rng.integers(0, 2, (ROWS, 3)).astype(np.float32)


def learn(method, steps: int = 1) -> dict[str, np.ndarray]:
    """Returns the state after some steps."""
    state = {n: tf.constant(t.value) for n, t in method.state().items()}
    for step in range(steps):
        x, y = batch(method.config.loss, step)
        outcome = method.train(state, {"x": x, "y": y, "count": tf.constant([ROWS])})
        assert outcome.accepted.numpy() == [True]
        for change in outcome.changes:
            if change.when is None or change.when.numpy() == [True]:
                state |= change.news
    return {name: np.asarray(value) for name, value in state.items()}


def check_equal(path, api, steps: int = 1) -> Finetune:
    """Compares some steps with those of Keras' own model of a file, its optimizer
    fresh."""
    method = Finetune(load(path))
    theirs = api.models.load_model(path)
    before = theirs.optimizer
    theirs.compile(type(before).from_config(before.get_config()), theirs.loss)
    for step in range(steps):
        theirs.train_on_batch(*batch(method.config.loss, step))
    check_weights(method, learn(method, steps), theirs.get_weights())
    return method


def check_weights(method, ours, theirs) -> None:
    """Compares new weights with Keras' own."""
    for name, value in zip(variables(method.network.model), theirs, strict=True):
        update = np.abs(value - method.state()[name].value).max()
        assert update > 1e-5, f"{name} did not move"
        # Sums in another order, roundings of tanh and of the optimizer's roots.
        np.testing.assert_allclose(ours[name], value, atol=2e-5 * update + 2e-7)


def save(model, folder, suffix=".keras"):
    path = folder / f"m{suffix}"
    model.save(path, **({} if suffix else {"save_format": "tf"}))
    return path


@pytest.mark.parametrize(("api", "suffix"), FORMATS)
def test_loss_optimizer_and_schedule_are_the_files(api, suffix, tmp_path):
    api = APIS[api]
    of = api.optimizers.schedules
    rate = of.CosineDecay(0.02, 6, 0.1, warmup_target=0.1, warmup_steps=2)
    model = net(api)
    loss = api.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1)
    model.compile(api.optimizers.Adam(rate, beta_1=0.8, clipnorm=0.05), loss)
    method = check_equal(save(model, tmp_path, suffix), api, 5)
    config = method.config
    assert (config.loss, config.label_smoothing) == ("binary_cross_entropy", 0.1)
    assert config.optimizer == "adam" and config.hyperparameters["beta_1"] == 0.8
    assert config.clip_weight_norm == 0.05 and config.schedule.kind == "cosine"
    name = f"m{suffix}"
    assert f"{name} was compiled with BinaryCrossentropy" in method.notes[0]
    assert f"{name} was compiled with it; its state starts fresh" in method.notes[1]


OPTIMIZERS = {
    "sgd": lambda o: o.SGD(0.1, weight_decay=0.1),
    "momentum": lambda o: o.SGD(0.1, momentum=0.8, clipvalue=0.02),
    "nesterov": lambda o: o.SGD(0.1, momentum=0.8, nesterov=True, global_clipnorm=0.1),
    "adam": lambda o: o.Adam(0.01, weight_decay=0.1),
    "amsgrad": lambda o: o.Adam(0.01, beta_2=0.5, amsgrad=True),
    "adamw": lambda o: o.AdamW(0.01, weight_decay=0.2),
    "rmsprop": lambda o: o.RMSprop(0.01, rho=0.5),
    "rmsprop_momentum": lambda o: o.RMSprop(0.01, momentum=0.5, epsilon=0.01),
    "rmsprop_centered": lambda o: o.RMSprop(0.01, centered=True, epsilon=0.01),
    "adagrad": lambda o: o.Adagrad(0.05, epsilon=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("api", APIS)
def test_each_optimizer_is_the_files(api, name, tmp_path):
    api = APIS[api]
    model = net(api, "softmax")
    model.compile(OPTIMIZERS[name](api.optimizers), "sparse_categorical_crossentropy")
    method = check_equal(save(model, tmp_path), api, 4)
    assert method.config.optimizer == name


SCHEDULES = {
    "cosine": lambda of: of.CosineDecay(0.1, 3, 0.1),
    "from_zero": lambda of: of.CosineDecay(0.0, 3, warmup_target=0.1, warmup_steps=2),
    "exponential": lambda of: of.ExponentialDecay(0.1, 2, 0.5),
    "staircase": lambda of: of.ExponentialDecay(0.1, 2, 0.5, staircase=True),
    "polynomial": lambda of: of.PolynomialDecay(0.1, 3, 0.01, power=2.0),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("api", APIS)
def test_each_schedule_is_the_files(api, name, tmp_path):
    api = APIS[api]
    model = net(api)
    rate = SCHEDULES[name](api.optimizers.schedules)
    model.compile(api.optimizers.SGD(rate), "mse")
    check_equal(save(model, tmp_path), api, 5)


@pytest.mark.parametrize("ending", ["softmax", "sigmoid"])
@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("api", APIS)
def test_an_ending_that_squashes_is_learned_as_keras_does(
    api, from_logits, ending, tmp_path
):
    """Either Keras goes back to the logits of a softmax, whatever from_logits says."""
    api = APIS[api]
    model = net(api, ending)
    kind = "SparseCategorical" if ending == "softmax" else "Binary"
    loss = getattr(api.losses, f"{kind}Crossentropy")(from_logits=from_logits)
    model.compile(api.optimizers.SGD(0.1), loss)
    check_equal(save(model, tmp_path), api)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("api", APIS)
def test_a_table_that_keras3_moves_otherwise_has_a_note(api, optimizer, tmp_path):
    """Of an id that comes twice Keras 3's Adam squares each gradient by itself."""
    kl, ids = APIS[api].layers, np.zeros((1, 2), "int32")
    table = kl.Embedding(3, 2, name="ids")
    body = [kl.Input((2,), dtype="int32"), table, kl.Flatten(), kl.Dense(1)]
    model = APIS[api].Sequential(body)
    model.layers[-1].set_weights([np.ones((4, 1)), np.zeros(1)])
    model.compile(optimizer, "mse")
    notes = [note for note in load(save(model, tmp_path)).notes if "'ids'" in note]
    before = table.get_weights()[0]
    model.train_on_batch(ids, np.full((1, 1), 9.0))
    moved = np.abs(table.get_weights()[0] - before).max()
    otherwise = api == "keras3" and optimizer == "adam"
    assert len(notes) == otherwise
    if optimizer == "adam":  # (g + g) / sqrt(g^2 + g^2), or over its own size
        assert moved == pytest.approx(0.001 * np.sqrt(2 if otherwise else 1), rel=1e-3)


@pytest.mark.parametrize("api", APIS)
def test_logarithms_of_probabilities_are_learned_as_logits_alone(api, tmp_path):
    api = APIS[api]
    model = net(api, "log_softmax")
    loss = api.losses.SparseCategoricalCrossentropy
    model.compile(api.optimizers.SGD(0.1), loss(from_logits=True))
    check_equal(save(model, tmp_path), api)
    model.compile(api.optimizers.SGD(0.1), loss())
    with pytest.raises(ModelError, match="takes probabilities.*ends in log_softmax"):
        Finetune(load(save(model, tmp_path)))


def test_batches_are_gathered_as_in_keras3(tmp_path):
    model = net(keras, "softmax")
    optimizer = keras.optimizers.Adam(0.01, gradient_accumulation_steps=2, clipnorm=0.1)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    assert check_equal(save(model, tmp_path), keras, 4).config.accumulate == 2


@pytest.mark.parametrize("name", ["adam", "amsgrad", "nesterov", "adagrad"])
@pytest.mark.parametrize(("api", "suffix"), FORMATS)
def test_a_saved_state_goes_on(api, suffix, name, tmp_path):
    api = APIS[api]
    model = net(api, "softmax")
    model.compile(OPTIMIZERS[name](api.optimizers), "sparse_categorical_crossentropy")
    for step in range(3):
        model.train_on_batch(*batch("sparse_cross_entropy", 7 + step))
    path = save(model, tmp_path, suffix)
    method = Finetune(load(path), optimizer_state="saved")
    # The model that was saved goes on; not every format gives Keras its state back.
    for step in range(2):
        model.train_on_batch(*batch("sparse_cross_entropy", step))
    check_weights(method, learn(method, 2), model.get_weights())
    assert method.state()["step"].value == [3]
    assert "its state is the saved one" in method.notes[1]
    assert Finetune(load(path)).state()["step"].value == [0]


def test_an_artifact_goes_on_where_its_file_stopped(tmp_path):
    """Through LiteRT, the state's slots and iteration included."""
    model = net(keras, "softmax")
    rate = keras.optimizers.schedules.ExponentialDecay(0.02, 2, 0.5)
    model.compile(
        keras.optimizers.Adam(rate, weight_decay=0.1, global_clipnorm=0.1),
        "sparse_categorical_crossentropy",
    )
    for step in range(3):
        model.train_on_batch(*batch("sparse_cross_entropy", 7 + step))
    loaded = load(save(model, tmp_path))
    method = Finetune(loaded, optimizer_state="saved")
    export(method, ROWS).save(tmp_path / "artifact")
    with Session(tmp_path / "artifact") as session:
        for step in range(2):
            x, y = batch("sparse_cross_entropy", step)
            done = session.train(x=x, y=y)
            loss = model.train_on_batch(x, y)
            # A few float32 roundings of a loss of order one.
            np.testing.assert_allclose(done["loss"], [loss], rtol=2e-6)
        check_weights(method, session.state(), model.get_weights())
    assert done["step"] == [5]


def test_a_state_that_is_not_there_is_refused(tmp_path):
    model = net(keras, "softmax")
    model.compile("adam", "sparse_categorical_crossentropy")
    path = save(model, tmp_path)
    told = {"optimizer_state": "saved"}
    with pytest.raises(ModelError, match="needs the optimizer that the model was"):
        Finetune(load(path), optimizer="sgd", **told)
    with pytest.raises(ModelError, match="needs the optimizer that the model was"):
        Finetune(net(tf_keras, "softmax"), **told)
    model.layers[0].trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    model.train_on_batch(*batch("sparse_cross_entropy"))
    model.layers[0].trainable = True
    model.save(path)
    with pytest.raises(ModelError, match="optimizer state of .* tensors"):
        Finetune(load(path), **told)


def test_what_is_told_holds_and_the_contradiction_is_said(tmp_path):
    model = net(keras, "softmax")
    loss = keras.losses.SparseCategoricalCrossentropy()
    model.compile(keras.optimizers.Adam(0.01, beta_1=0.8, clipnorm=1.0), loss)
    loaded = load(save(model, tmp_path))
    method = Finetune(
        loaded,
        learning_rate=0.5,
        hyperparameters={"beta_2": 0.9},
        loss="mean_squared_error",
    )
    config = method.config
    assert (config.learning_rate, config.clip_weight_norm) == (0.5, 1.0)
    assert config.hyperparameters == {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-7}
    assert "m.keras was compiled with Sparse" in method.notes[0]
    assert "learning_rate=0.5 as told, not 0.01" in method.notes[1]
    assert "beta_2=0.9 as told, not 0.999" in method.notes[1]
    other = Finetune(loaded, optimizer="sgd")
    assert other.config.hyperparameters == {} and other.config.learning_rate is None
    assert other.config.clip_weight_norm is None
    assert "m.keras was compiled with Adam" in other.notes[1]


def test_a_model_in_memory_is_learned_as_it_was_compiled():
    model = net(tf_keras, "softmax")
    model.compile(tf_keras.optimizers.Adam(0.02), "mse")
    model.train_on_batch(*batch("mse"))
    method = Finetune(model)
    assert (method.config.loss, method.config.optimizer) == (
        "mean_squared_error",
        "adam",
    )
    method = Finetune(model, optimizer_state="saved")
    moment = method.state()["head_bias_first_moment"].value
    assert np.abs(moment).max() > 0


@pytest.mark.parametrize(
    ("compiled", "message", "flag"),
    [
        ({"optimizer": "lion"}, "optimizer Lion.*no builtin form", "optimizer"),
        (
            {"optimizer": keras.optimizers.Adam(use_ema=True)},
            "use_ema=True is not understood",
            "optimizer",
        ),
        (
            {"optimizer": keras.optimizers.RMSprop(momentum=0.5, centered=True)},
            "centered with momentum=0.5",
            "optimizer",
        ),
        (
            {
                "optimizer": keras.optimizers.SGD(
                    keras.optimizers.schedules.InverseTimeDecay(0.1, 2, 0.5)
                )
            },
            "learning rate InverseTimeDecay.*no builtin form",
            "optimizer",
        ),
        ({"loss": "poisson"}, "poisson.*no builtin form", "loss"),
        ({"loss": keras.losses.MeanSquaredError(reduction="sum")}, "'sum'", "loss"),
        (
            {"loss": keras.losses.SparseCategoricalCrossentropy(ignore_class=2)},
            "ignore_class=2",
            "loss",
        ),
        ({"loss": lambda y, z: keras.ops.mean((y - z) ** 2)}, "not one of", "loss"),
    ],
)
def test_what_has_no_builtin_form_names_the_flag(compiled, message, flag, tmp_path):
    model = net(keras, "softmax")
    model.compile(**{"optimizer": "sgd", "loss": "mse", **compiled})
    loaded = load(save(model, tmp_path))
    with pytest.raises(
        ModelError, match=rf"(?s)m.keras was compiled.*{message}.*--{flag}"
    ):
        Finetune(loaded)
    told = {"optimizer": "sgd", "loss": "mean_squared_error"}
    assert Finetune(loaded, **{flag: told[flag]}).config.loss == "mean_squared_error"


def test_a_loss_that_takes_linear_values_for_probabilities_is_refused(tmp_path):
    model = net(keras)
    model.compile("sgd", "sparse_categorical_crossentropy")
    loaded = load(save(model, tmp_path))
    with pytest.raises(ModelError, match="takes probabilities.*--loss"):
        Finetune(loaded)
    assert Finetune(loaded, loss="sparse_cross_entropy").endings == {"head": "logits"}


def test_without_a_word_the_ending_says_the_loss():
    assert Finetune(net(tf_keras, "softmax")).config.loss == "sparse_cross_entropy"
    assert Finetune(net(tf_keras, "sigmoid")).config.loss == "binary_cross_entropy"
    for ending in (None, "tanh"):
        with pytest.raises(ModelError, match=r"'head'.*set loss \(--loss\)"):
            Finetune(net(tf_keras, ending))
    assert Skip(net(tf_keras)).config.loss == "sparse_cross_entropy"
