"""No key of an optimizer, a loss or a schedule is ignored: change it, and what is read
of it changes, or it is refused by name. Every class of either Keras.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import pytest
import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading.compiled import losses, optimizers

APIS = {"tf_keras": tf_keras, "keras3": keras}
# Classes without an own meaning, and those that are around another one.
_BASES = ("Optimizer", "LossScaleOptimizer", "MultiOptimizer", "Loss")
BASES = (*_BASES, "LearningRateSchedule")
# What each class is made with, so that every key has a meaning.
MADE: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.5},
    "CosineDecay": {
        "initial_learning_rate": 0.01,
        "decay_steps": 10,
        "warmup_target": 0.1,
        "warmup_steps": 5,
    },
    "CosineDecayRestarts": {"initial_learning_rate": 0.1, "first_decay_steps": 10},
    "ExponentialDecay": {
        "initial_learning_rate": 0.1,
        "decay_steps": 10,
        "decay_rate": 0.5,
    },
    "InverseTimeDecay": {
        "initial_learning_rate": 0.1,
        "decay_steps": 10,
        "decay_rate": 0.5,
    },
    "PiecewiseConstantDecay": {"boundaries": [10], "values": [0.1, 0.01]},
    "PolynomialDecay": {"initial_learning_rate": 0.1, "decay_steps": 10},
}
# Of a key: another value than it has without being given, or in `MADE`.
OTHERS: dict[str, Any] = {
    "adaptive_epsilon": True,
    "alpha": 0.125,
    "amsgrad": True,
    "axis": 0,
    "beta_1": 0.5,
    "beta_2": 0.75,
    "centered": True,
    "clipnorm": 0.5,
    "clipvalue": 0.5,
    "cycle": True,
    "decay_rate": 0.25,
    "decay_steps": 20,
    "delta": 0.5,
    "end_learning_rate": 0.01,
    "epsilon": 1e-3,
    "from_logits": True,
    "global_clipnorm": 0.5,
    "gradient_accumulation_steps": 2,
    "ignore_class": 1,
    "initial_accumulator_value": 0.5,
    "initial_learning_rate": 0.05,
    "label_smoothing": 0.25,
    "learning_rate": 0.5,
    "momentum": 0.25,
    "nesterov": True,
    "power": 2.0,
    "reduction": "sum",
    "rho": 0.5,
    "staircase": True,
    "use_ema": True,
    "warmup_steps": 7,
    "warmup_target": 0.2,
    "weight_decay": 0.25,
}
HARMLESS = {
    "name": "a name computes nothing",
    "jit_compile": "how Keras compiles, not what",
    "ema_momentum": "of use_ema, which is refused itself",
    "ema_overwrite_frequency": "of use_ema, which is refused itself",
    "loss_scale_factor": "Keras divides the gradients by it again",
    "dtype": "everything is computed in float32",
}
# What Keras 3 does not save: its own copy of the file has the default, too.
UNSAVED = (
    ("CosineSimilarity", "axis"),
    ("Huber", "delta"),
    ("SparseCategoricalCrossentropy", "axis"),
)


def read_optimizer(api, made: Any) -> Any:
    # tf_keras' own models keep the optimizer, files what it says of itself.
    kept = made if api is tf_keras else api.optimizers.serialize(made)
    return optimizers.options(api, kept, "it")


def read_loss(api, made: Any) -> Any:
    told = api.losses.serialize(made)
    found = losses.read(api, told, None, "it", ["out"], ["out"])["out"]
    return found.options, found.from_logits


def read_schedule(api, made: Any) -> Any:
    return read_optimizer(api, api.optimizers.SGD(made))


def cases() -> list:
    found = []
    for name, api in APIS.items():
        rooms = (
            (api.optimizers, api.optimizers.Optimizer, read_optimizer),
            (api.losses, api.losses.Loss, read_loss),
            (
                api.optimizers.schedules,
                api.optimizers.schedules.LearningRateSchedule,
                read_schedule,
            ),
        )
        for room, base, read in rooms:
            kinds = {k for k in vars(room).values() if inspect.isclass(k)}
            found += [
                pytest.param(api, kind, read, id=f"{name}-{kind.__name__}")
                for kind in sorted(kinds, key=str)
                if issubclass(kind, base) and kind.__name__ not in BASES
            ]
    return found


@pytest.mark.parametrize(("api", "kind", "read"), cases())
def test_no_key_is_ignored(api, kind: type, read: Callable):
    given = MADE.get(kind.__name__, {})
    try:
        usual = read(api, kind(**given))
    except ModelError as error:
        assert kind.__name__ in str(error) and "--" in str(error)
        return  # the whole class is refused
    parameters = inspect.signature(kind.__init__).parameters.values()
    keys = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
    ignored = []
    for key in keys:
        unsaved = api is keras and (kind.__name__, key) in UNSAVED
        if key in HARMLESS or unsaved:
            continue
        assert key in OTHERS, f"say another value of {key} in OTHERS"
        try:
            found = read(api, kind(**{**given, key: OTHERS[key]}))
        except ModelError as error:
            assert key in str(error) and "--" in str(error)
        else:
            if found == usual:
                ignored.append(key)
    assert not ignored


def test_an_optimizer_that_tf_keras_cannot_make_again_is_named():
    saved = tf_keras.optimizers.serialize(tf_keras.optimizers.Lion())
    with pytest.raises(ModelError, match="optimizer Lion.*--optimizer"):
        optimizers.options(tf_keras, saved, "it")
