"""The proof of a method that learns from labels: `finetune`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tflite_odl import contract
from tflite_odl.builtin.optimizers import SUM, slot_name
from tflite_odl.proof import batches
from tflite_odl.proof.batches import Batches, Sample
from tflite_odl.proof.calm import calm
from tflite_odl.proof.layers import Layer, distinct
from tflite_odl.proof.proof import (
    FILLINGS,
    FULL,
    SPOILED,
    Arrays,
    Proof,
    Rejected,
    Shapes,
    Trial,
)
from tflite_odl.proof.references.optimizers import KERAS_SLOTS
from tflite_odl.proof.references.supervised import KerasReference

# A learning rate at which updates are so much larger than weights that what a gradient
# makes of them is seen to the last digit; a power of two, which rounds nothing.
LOUD = 2.0**20


class SupervisedProof(Proof):
    """Args: method, what is proven; sample, rows to prove it with, see `Batches`."""

    def __init__(self, method, sample: Sample | None = None) -> None:
        self.method = method
        self.batches = Batches(method, sample)

    def reference(self, dtype: str) -> KerasReference:
        return KerasReference(self.method, dtype)

    def trials(self, batch_size: int) -> Sequence[Trial]:
        """Returns one trial of each filling, more of small batches until each kind of
        bad row has come, and the calm one.

        Where steps differ these are the first, the last of a group of batches, and one
        amid the schedule's decay.
        """
        fillings = FILLINGS if batch_size > 1 else (FULL,) * 3
        spoils = range(1, self.batches.spoils(batch_size))
        return [
            *(
                Trial(filling, changes=put({"step": step}))
                for filling, step in zip(fillings, self._steps(), strict=True)
            ),
            *(Trial(SPOILED, spoil=part, carried=False) for part in spoils),
            *self._loud(self.calm),
        ]

    def _loud(self, calm: Callable[[Arrays], Arrays]) -> list[Trial]:
        """Returns the calm trial, and one to run if that leaves a tensor still."""
        train = (contract.TRAIN,)
        return [
            Trial(signatures=train, changes=calm, calm=True, carried=False),
            Trial(signatures=train, changes=loud, carried=False, spare=True),
        ]

    def _steps(self) -> tuple[int | None, ...]:
        config, every = self.method.config, self.method.config.accumulate
        if every == 1 and not config.schedule.hyperparameters():
            return (None, None, None)
        return (0, every - 1, self.amid * every + every - 1)

    @property
    def amid(self) -> int:
        """Updates done amid the schedule's decay."""
        schedule = self.method.config.schedule
        return schedule.warmup_steps + schedule.decay_steps // 2

    def calm(self, state: Arrays) -> Arrays:
        """Returns what to change for a step whose gradients can be seen exactly."""
        changes = calm(self.method.network.graph, state, self._input_size())
        return {**changes, **loud(state)}

    def _input_size(self) -> float:
        trial = Trial()
        batch = self.batches.draw(trial, 0, 16, 0, 0)
        parts = self.method.features
        sizes = [
            np.sqrt(
                np.mean(np.square(np.asarray(part.preprocessing(batch[part.name]))))
            )
            for part in parts
        ]
        return max(float(max(sizes)), 1e-6)

    def draw(
        self, trial: Trial, number: int, batch_size: int, attempt: int, seed: int
    ) -> Arrays:
        return self.batches.draw(trial, number, batch_size, attempt, seed)

    def inputs(self, signature: str, batch: Arrays, shapes: Shapes) -> Arrays:
        return batches.taken(self.method, batch, shapes)

    def rejected(self, batch: Arrays) -> Sequence[Rejected]:
        """Returns calls with only bad labels, without labels, with only padding, and of
        one row where batch norms need two."""
        count, y = batch["count"], batch["y"]
        wrong = np.full_like(y, self.batches.bad_label)
        none = np.full_like(y, batches.unlabelled(y))
        zero = np.zeros_like(count)
        bad = int(count[0])
        few = self.method.least_rows > 1
        return [
            self._rejected({**batch, "y": wrong}, bad),
            self._rejected({**batch, "y": none}, None),
            self._rejected({**batch, "count": zero}, 0),
            *([self._rejected({**batch, "count": zero + 1}, None)] * few),
        ]

    def _rejected(self, inputs: Arrays, rows: int | None) -> Rejected:
        outputs = {"accepted": np.zeros(1, np.int32)}
        if rows is not None:
            outputs["rejected_rows"] = np.array([rows], np.int32)
        return Rejected(contract.TRAIN, inputs, outputs)

    def layers(self, batch_size: int) -> Sequence[Layer]:
        network = self.method.network
        limit = network.config.chunk_mb * 1e6
        return distinct(network.graph, network.plan, batch_size, limit)

    def given(self, signature: str, inputs: Arrays) -> Arrays:
        # An int8 backbone is off by what quantization costs; `backbones` compares it.
        if signature != contract.INFER or self.method.network.backbone is not None:
            return {}
        name, probabilities = self.method.loss.output, self.method.loss.ending
        output = given(self.method, inputs)
        if self.method.ending == "logits":
            squash = {"softmax": tf.nn.softmax, "sigmoid": tf.sigmoid}[probabilities]
            output = squash(output).numpy()
        return {name: output}

    def kinds(self) -> Mapping[str, str]:
        graph, config = self.method.network.graph, self.method.config
        kinds = {
            name: role
            for node in graph.nodes
            for role, name in node.weights.items()
            if name in graph.moving
        }
        slots = [*KERAS_SLOTS[config.optimizer], *([SUM] * (config.accumulate > 1))]
        kinds |= {
            slot_name(name, slot): slot for name in graph.trainable for slot in slots
        }
        return {**dict.fromkeys(graph.trainable, "weight"), **kinds}


def given(method, inputs: Arrays) -> np.ndarray:
    """Returns what a method's model, as it was given, puts out for raw inputs."""
    x = [
        inputs[feature.name].astype(np.float32)
        * np.float32(feature.preprocessing.scale)
        + np.float32(feature.preprocessing.offset)
        for feature in method.features
    ]
    output = method.source_model(x if len(x) > 1 else x[0], training=False)
    return np.asarray(output, np.float64)


def loud(state: Arrays) -> Arrays:
    """Returns what to change for updates that are larger than the weights."""
    return {"learning_rate": np.array([LOUD], np.float32)}


def put(numbers: Mapping[str, int | None]):
    """Returns a trial's change: counters set to numbers, None leaving one as it is."""
    changes = {n: np.array([v], np.int32) for n, v in numbers.items() if v is not None}
    return lambda state: changes
