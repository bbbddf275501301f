"""The flags of `convert.py` that say how an artifact learns."""

from __future__ import annotations

from typing import Any

from absl import flags

_TRAINABLE = flags.DEFINE_string("trainable", "all", "all | head | last:K | REGEX")
_BATCH_NORM = flags.DEFINE_enum(
    "batch_norm", "batch", ["batch", "frozen"], "statistics trainable layers use"
)
_LOSS = flags.DEFINE_string(
    "loss",
    "sparse_cross_entropy",
    "sparse_cross_entropy | binary_cross_entropy | mean_squared_error",
)
_LABEL_SMOOTHING = flags.DEFINE_float("label_smoothing", 0.0, "of the cross-entropies")
_CLASS_WEIGHTS = flags.DEFINE_list(
    "class_weights", [], "a factor on the loss of each class, comma-separated"
)
_SAMPLE_WEIGHTS = flags.DEFINE_boolean(
    "sample_weights", False, "train takes `weight`, a factor on each row"
)
_OPTIMIZER = flags.DEFINE_string(
    "optimizer",
    "sgd",
    "sgd | momentum | nesterov | adam | adamw | rmsprop | rmsprop_momentum | "
    "rmsprop_centered",
)
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", None, "the optimizer's own if unset"
)
_HYPERPARAMETERS = flags.DEFINE_multi_string(
    "hyperparameter", [], "name=value, another of the optimizer's, repeatable"
)
_SCHEDULE = flags.DEFINE_string(
    "schedule", "constant", "constant | cosine | exponential | step"
)
_WARMUP_STEPS = flags.DEFINE_integer("warmup_steps", 0, "updates until the full rate")
_DECAY_STEPS = flags.DEFINE_integer(
    "decay_steps", 1000, "updates of the cosine, or per factor of --decay_rate"
)
_FINAL_RATE = flags.DEFINE_float("final_rate", 0.0, "the cosine ends with it")
_DECAY_RATE = flags.DEFINE_float("decay_rate", 0.5, "of exponential and step")
_ACCUMULATE = flags.DEFINE_integer("accumulate", 1, "batches that make one update")
_CLIP_NORM = flags.DEFINE_float(
    "clip_norm", None, "largest global norm of the gradients"
)
_NOISE = flags.DEFINE_float("noise", 0.0, "uniform noise on the inputs in training")


def options() -> dict[str, Any]:
    """Returns the method's configuration as the flags give it.

    Raises:
      ModelError: a value that is no number, or out of its range.
    """
    from tflite_odl.builtin.schedules import Schedule

    pairs = [text.partition("=")[::2] for text in _HYPERPARAMETERS.value]
    return {
        "trainable": _TRAINABLE.value,
        "batch_norm": _BATCH_NORM.value,
        "loss": _LOSS.value,
        "label_smoothing": _LABEL_SMOOTHING.value,
        "class_weights": tuple(
            _number("class_weights", text) for text in _CLASS_WEIGHTS.value
        ),
        "sample_weights": _SAMPLE_WEIGHTS.value,
        "optimizer": _OPTIMIZER.value,
        "learning_rate": _LEARNING_RATE.value,
        "hyperparameters": {
            name: _number(f"hyperparameter {name}", text) for name, text in pairs
        },
        "schedule": Schedule(
            _SCHEDULE.value,
            _WARMUP_STEPS.value,
            _DECAY_STEPS.value,
            _FINAL_RATE.value,
            _DECAY_RATE.value,
        ),
        "accumulate": _ACCUMULATE.value,
        "clip_norm": _CLIP_NORM.value,
        "noise": _NOISE.value,
    }


def _number(name: str, text: str) -> float:
    from tflite_odl.errors import ModelError

    try:
        return float(text)
    except ValueError as error:
        raise ModelError(f"--{name}: {text!r} is no number") from error
