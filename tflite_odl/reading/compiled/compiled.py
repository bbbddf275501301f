"""The compile configuration of a model: read here, judged where it is asked for.

A model may be compiled with what has no builtin form. That is an error only where
nothing else was asked for, so it is raised by the methods of `Compiled`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tf_keras

from tflite_odl.reading import outputs, rebuild
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
      outputs: names of all outputs of the model, for losses in a list.
      read_state: (the tf_keras model that is trained) -> the optimizer's state.
    """

    where: str
    api: Any
    identifier: Any
    loss: Any
    loss_weights: Any
    outputs: tuple[str, ...]
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

    def supervision(self, chosen: Sequence[str]) -> dict[str, losses.CompiledLoss]:
        """Returns the losses of some outputs, by name.

        Raises:
          ModelError: a loss or one of its keys is not understood.
        """
        given = self.loss, self.loss_weights
        return losses.read(self.api, *given, self.where, self.outputs, chosen)


def of_file(path: Path, saved: SavedModel, model: tf_keras.Model) -> Compiled | None:
    """Returns what a file says its model was compiled with; None: it was not.

    Args:
      path: of the file.
      saved: what it says.
      model: the tf_keras model that came of it.
    """
    if not saved.compiled:
        return None
    api = keras_of(saved)

    def read_state(trained: tf_keras.Model) -> state.OptimizerState:
        return state.of_file(path, api, saved.compiled.get("optimizer"), trained)

    return _made(path.name, api, saved.compiled, model, read_state)


def of_model(model: tf_keras.Model) -> Compiled | None:
    """Returns what a tf_keras model in memory was compiled with; None: it was not."""
    if not getattr(model, "_is_compiled", False):
        return None
    config = {**(model.get_compile_config() or {}), "optimizer": model.optimizer}

    def read_state(trained: tf_keras.Model) -> state.OptimizerState:
        return state.of_optimizer(model.optimizer, model, trained)

    return _made(f"model {model.name!r}", tf_keras, config, model, read_state)


def note_on_tables(compiled: Compiled | None, model: tf_keras.Model) -> list[str]:
    """Returns a note where Keras 3's fit would move a table by other steps.

    Its gradient is a list of ids and rows there. An optimizer that divides by the root
    of squares squares each of these rows, and so sums the squares of an id that comes
    several times in a batch, where tf_keras, and every paper, squares the sum.
    """
    if compiled is None or compiled.api is tf_keras or compiled.optimizer_name == "SGD":
        return []
    tables = [
        repr(path)
        for path, layer in rebuild.all_layers(model)
        if isinstance(layer, tf_keras.layers.Embedding) and layer.trainable
    ]
    if not tables:
        return []
    return [
        f"{', '.join(tables)} (Embedding): of an id that comes several times in a "
        f"batch Keras 3's {compiled.optimizer_name} squares each gradient; here, as in "
        "tf_keras, their sum is squared"
    ]


def keras_of(saved: SavedModel) -> Any:
    """Returns the Keras that saved a model: `keras` (3) or `tf_keras`."""
    if not saved.keras3:
        return tf_keras
    import keras  # Keras 3, also where TF_USE_LEGACY_KERAS is set

    return keras


def _made(
    where: str, api: Any, config: dict[str, Any], model: tf_keras.Model, read_state
) -> Compiled:
    parts = (config.get(key) for key in ("optimizer", "loss", "loss_weights"))
    return Compiled(where, api, *parts, outputs.names(model), read_state)
