"""The compile configuration of a model: read here, judged where it is asked for.

A model may be compiled with what has no builtin form. That is an error only where
nothing else was asked for, so it is raised by the methods of `Compiled`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tf_keras

from tflite_odl.reading.compiled import losses, optimizers, state
from tflite_odl.reading.config import SavedModel


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What a model was compiled with.

    Attributes:
      where: names the model in messages, such as "my_model.keras".
      api: the Keras that it is of, `keras` or `tf_keras`.
      identifier: of the optimizer, as that Keras takes it; None: there is none.
      loss: likewise.
      loss_weights: as they were given to `compile`.
      read_state: (the tf_keras model that is trained) -> the optimizer's state.
    """

    where: str
    api: Any
    identifier: Any
    loss: Any
    loss_weights: Any
    read_state: Callable[[tf_keras.Model], state.OptimizerState]

    @property
    def optimizer_name(self) -> str:
        """The class of the optimizer, whether it is understood or not."""
        return optimizers.class_name(self.identifier)

    def learning(self) -> dict[str, Any]:
        """Returns the fields of a `LearnerConfig` that the optimizer says.

        Raises:
          ModelError: the optimizer, its schedule or one of its keys is not understood.
        """
        return optimizers.options(self.api, self.identifier, self.where)

    def supervision(self) -> losses.CompiledLoss:
        """Returns the loss.

        Raises:
          ModelError: the loss or one of its keys is not understood.
        """
        return losses.read(self.api, self.loss, self.loss_weights, self.where)


def of_file(path: Path, saved: SavedModel) -> Compiled | None:
    """Returns what a file says its model was compiled with; None: it was not."""
    if not saved.compiled:
        return None
    api = keras_of(saved)

    def read_state(model: tf_keras.Model) -> state.OptimizerState:
        return state.of_file(path, api, saved.compiled.get("optimizer"), model)

    return _made(path.name, api, saved.compiled, read_state)


def of_model(model: tf_keras.Model) -> Compiled | None:
    """Returns what a tf_keras model in memory was compiled with; None: it was not."""
    if not getattr(model, "_is_compiled", False):
        return None
    config = {**(model.get_compile_config() or {}), "optimizer": model.optimizer}

    def read_state(trained: tf_keras.Model) -> state.OptimizerState:
        return state.of_optimizer(model.optimizer, model, trained)

    return _made(f"model {model.name!r}", tf_keras, config, read_state)


def keras_of(saved: SavedModel) -> Any:
    """Returns the Keras that saved a model: `keras` (3) or `tf_keras`."""
    if not saved.keras3:
        return tf_keras
    import keras  # Keras 3, also where TF_USE_LEGACY_KERAS is set

    return keras


def _made(where: str, api: Any, config: dict[str, Any], read_state) -> Compiled:
    parts = (config.get(key) for key in ("optimizer", "loss", "loss_weights"))
    return Compiled(where, api, *parts, read_state)
