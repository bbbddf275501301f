"""The proof of `distill`: each state of its controller, each mode of its teacher."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tflite_odl import contract
from tflite_odl.builtin.optimizers import slot_name
from tflite_odl.methods.distill.method import PREFIX
from tflite_odl.proof.calm import calm
from tflite_odl.proof.edges import off_edges
from tflite_odl.proof.layers import Layer, distinct
from tflite_odl.proof.proof import (
    FULL,
    PADDED,
    SPOILED,
    Arrays,
    Rejected,
    Trial,
)
from tflite_odl.proof.references.distill import DistillReference
from tflite_odl.proof.references.optimizers import KERAS_SLOTS
from tflite_odl.proof.supervised import LOUD, SupervisedProof, put

Change = Callable[[Arrays], Arrays]
TRAIN = (contract.TRAIN,)
# Logits of a student that is sure of one class and of a teacher that excludes it.
SURE = 4.0
# Bounds of weights and ranges of activations in the trials, of their first values.
NARROWED = 0.3


class DistillProof(SupervisedProof):
    """Args: as for `SupervisedProof`."""

    chooses = True

    def reference(self, dtype: str) -> DistillReference:
        return DistillReference(self.method, dtype)

    def trials(self, batch_size: int) -> Sequence[Trial]:
        """Returns a trial of each filling, before the peak of the entropy distance, at
        it and past it; rows without labels; a teacher that pauses; the calm step."""
        padded, spoiled = (PADDED, SPOILED) if batch_size > 1 else (FULL, FULL)
        steps = self._steps()
        spoils = range(1, self.batches.spoils(batch_size))
        graph = self.method.network.graph
        found = [
            Trial(FULL, changes=self._at(steps[0], self._stirred(begun(0, 0.02)))),
            Trial(padded, changes=self._at(steps[1], self._stirred(begun(19, 0.7)))),
            Trial(spoiled, changes=self._at(steps[2], self._stirred(past(0.9)))),
            *(Trial(SPOILED, spoil=part, carried=False) for part in spoils),
            Trial(FULL, TRAIN, labelled=0, changes=past(0.5), carried=False),
            Trial(FULL, TRAIN, changes=self._at(0, begun(5, 0.02)), carried=False),
            *self._pauses(),
            *self._loud(self.calm),
        ]
        return [
            dataclasses.replace(one, changes=off_edges(graph, one.changes))
            for one in found
        ]

    def _stirred(self, numbers: Change) -> Change:
        """Returns a change by which quantizers have work and no edge is hit exactly.

        Sums of a few equal values often are exactly 0, where a relu or a sign hangs on
        rounding: so every channel gets an offset. And bounds and ranges are narrowed,
        so that some values are beyond them.
        """
        graph = self.method.network.graph
        names = [(role, n) for node in graph.nodes for role, n in node.weights.items()]

        def change(state: Arrays) -> Arrays:
            rng, changes = np.random.default_rng(0), {}
            for role, name in names:
                if name in state and role in ("bias", "beta", "moving_mean"):
                    offset = rng.uniform(-0.2, 0.2, state[name].shape)
                    changes[name] = (graph.weights[name] + offset).astype(np.float32)
                if name in state and role in ("kernel_clip", "range"):
                    value = graph.weights[name] * NARROWED
                    changes[name] = value.astype(np.float32)
            return {**numbers(state), **changes}

        return change

    def _steps(self) -> tuple[int | None, ...]:
        if not self.method.config.schedule.hyperparameters():
            return (None, None, None)
        return (0, 1, self.amid)

    def _at(self, step: int | None, change: Change):
        names = ["step"] + ["teacher_updates"] * self._online
        placed = put(dict.fromkeys(names, step))
        return lambda state: {**change(state), **placed(state)}

    @property
    def _online(self) -> bool:
        return self.method.teacher_learner is not None

    def _pauses(self) -> list[Trial]:
        """Returns trials in which the teacher is ahead of a student that is wrong.

        The student is sure of a class that the teacher excludes; one row has a label.
        Of two such classes at least one is not the label.
        """
        heads = [(self.method.network, ""), (self.method.teacher, PREFIX)]
        outputs = [(network.graph.output, prefix) for network, prefix in heads]
        known = {*self.kinds()}
        names = [
            {role: prefix + node.weights[role] for role in node.weights}
            for node, prefix in outputs
        ]
        fitting = all(
            node.op == "dense"
            and {*of} == {"kernel", "bias"}
            and {*of.values()} <= known
            for (node, _), of in zip(outputs, names, strict=True)
        )
        if not self._online or not fitting:
            return []
        ours, theirs = names
        classes = np.arange(self.method.num_classes)

        def change(number: int) -> Change:
            sure = SURE * (classes == number).astype(np.float32)
            tilt = np.linspace(0, 0.1, len(classes), dtype=np.float32)
            return lambda state: {
                ours["kernel"]: np.zeros_like(state[ours["kernel"]]),
                theirs["kernel"]: np.zeros_like(state[theirs["kernel"]]),
                ours["bias"]: sure + tilt,
                theirs["bias"]: tilt - sure,
                **past(0.9)(state),
            }

        return [
            Trial(FULL, TRAIN, labelled=1, changes=change(n), carried=False)
            for n in range(2)
        ]

    def calm(self, state: Arrays) -> Arrays:
        """Returns what to change for a step whose gradients can be seen exactly.

        Signs would be the same in all rows if the student were calm: nothing would be
        left of its gradients. Its reference tells how clear each of its choices is.
        """
        size, graph = self._input_size(), self.method.network.graph
        signs = any(node.op == "sign" for node in graph.nodes)
        changes = {} if signs else calm(graph, state, size)
        if self._online:
            theirs = {
                n.removeprefix(PREFIX): v for n, v in state.items() if PREFIX in n
            }
            found = calm(self.method.teacher.graph, theirs, size)
            changes |= {PREFIX + name: value for name, value in found.items()}
        rates = [name for name in state if name.endswith("learning_rate")]
        loud = {name: np.array([LOUD], np.float32) for name in rates}
        return {**changes, **loud, **past(0.8)(state)}

    def rejected(self, batch: Arrays) -> Sequence[Rejected]:
        """Returns calls with only bad labels, with only padding, and with too few rows;
        those without a label are learned from."""
        wrong, _, *others = super().rejected(batch)
        return [wrong, *others]

    def given(self, signature: str, inputs: Arrays) -> Arrays:
        # The student is not the model that was given.
        return {}

    def layers(self, batch_size: int) -> Sequence[Layer]:
        if not self._online:
            return super().layers(batch_size)
        network = self.method.teacher
        limit = network.config.chunk_mb * 1e6
        theirs = distinct(network.graph, network.plan, batch_size, limit)
        return [*super().layers(batch_size), *theirs]

    def kinds(self) -> Mapping[str, str]:
        entropies = dict.fromkeys(
            ("teacher_entropy", "student_entropy", "distance_peak"), "entropy"
        )
        ours = {**super().kinds(), **entropies}
        if not self._online:
            return ours
        graph, config = self.method.teacher.graph, self.method.config
        theirs = dict.fromkeys(graph.trainable, "weight")
        theirs |= {
            name: role
            for node in graph.nodes
            for role, name in node.weights.items()
            if name in graph.moving
        }
        theirs |= {
            slot_name(name, slot): slot
            for name in graph.trainable
            for slot in KERAS_SLOTS[config.optimizer]
        }
        named = {PREFIX + name: f"teacher {kind}" for name, kind in theirs.items()}
        return {**ours, **named}


def begun(below: int, peak: float) -> Change:
    """Returns a change: some steps in, the peak so far, steps running below it."""
    return lambda state: _numbers(
        teacher_entropy=0.3,
        student_entropy=0.9,
        entropy_steps=10,
        distance_peak=peak,
        steps_below_peak=below,
        peaked=0,
    )


def past(peak: float) -> Change:
    """Returns a change: the distance is past its peak."""
    return lambda state: {**begun(30, peak)(state), **_numbers(peaked=1)}


def _numbers(**values: float) -> Arrays:
    return {name: np.array([value], np.float32) for name, value in values.items()}
