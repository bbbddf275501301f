"""`distill`: a real-valued teacher trains a binary or low-bit student, row by row."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.builtin import rows
from tflite_odl.builtin.graph import Graph
from tflite_odl.builtin.losses.base import column
from tflite_odl.builtin.lowering import Rows
from tflite_odl.builtin.quantizers.rewrite import Scheme, quantized
from tflite_odl.builtin.tape import Tape
from tflite_odl.errors import ModelError
from tflite_odl.methods.base import Change, Outcome, StateTensor, Tensors
from tflite_odl.methods.distill import gap, losses, student, temperature
from tflite_odl.methods.distill.config import (
    FROZEN,
    HYPERPARAMETERS,
    RANGES,
    DistillConfig,
)
from tflite_odl.methods.learner import Learner
from tflite_odl.methods.network import Network, computing_in_float32
from tflite_odl.methods.step import saturating, settle
from tflite_odl.methods.supervised import Supervised
from tflite_odl.reading import rebuild
from tflite_odl.reading.load import load
from tflite_odl.reading.logits import as_logits

# Of the teacher's names in state and plan.
PREFIX = "teacher_"
UPDATES = f"{PREFIX}updates"


@dataclasses.dataclass(frozen=True)
class _Taught:
    """What an online teacher learns of a batch: its loss and its gradient's norm, [1],
    new values of its state, and whether to take them, [1] bool."""

    loss: tf.Tensor
    norm: tf.Tensor
    update: dict[str, tf.Tensor]
    learns: tf.Tensor


class Distill(Supervised):
    """A quantized twin of the model, the student, learns from labels and a teacher.

    The student is what `infer` and `evaluate` run; the latent weights behind its
    quantizers are in the state, and the model's penalties and constraints are theirs,
    as they are the online teacher's weights'. Rows without a label count, too: of them
    the student learns what the teacher says.

    Args:
      model: the real-valued model; see `Supervised`.
      classes, choices: as for `Supervised`; the teacher's nodes have `PREFIX` before
        their names.
      teacher_model: the teacher, in place of the model's own twin (online) or of the
        file that `teacher` names; a frozen one is called teacher="frozen".
      **config: fields of `DistillConfig`.

    Attributes:
      network: the student.
      schemes: {node name: how it is quantized}.
      teacher: the teacher.
      teacher_learner: of its weights; None for a frozen one.

    Raises:
      ModelError: teacher and student do not fit each other, or a layer cannot be
        quantized as it was asked for.
    """

    name = "distill"
    Config = DistillConfig
    losses = ("sparse_cross_entropy",)
    bakes = False

    def __init__(
        self,
        model: tf_keras.Model,
        classes: Sequence[str] = (),
        choices: Mapping[str, str] | None = None,
        teacher_model: tf_keras.Model | None = None,
        **config: Any,
    ) -> None:
        self.schemes: dict[str, Scheme] = {}
        theirs = {n: c for n, c in (choices or {}).items() if n.startswith(PREFIX)}
        ours = {n: c for n, c in (choices or {}).items() if n not in theirs}
        super().__init__(model, classes, ours, **config)
        theirs = {n.removeprefix(PREFIX): c for n, c in theirs.items()}
        self.teacher = self._make_teacher(model, teacher_model, theirs)
        self._check_fit()
        # Where the file lies on this machine is nothing for a manifest.
        name = pathlib.PurePath(self.config.teacher).name
        self.config = dataclasses.replace(self.config, teacher=name)
        self.teacher_learner = None
        if self.config.online:
            learning = self.teacher.learning()
            constraints = self.teacher.constraints()
            self.teacher_learner = Learner(self.config, learning, PREFIX, constraints)

    def make_network(
        self, model: tf_keras.Model, choices: Mapping[str, str] | None
    ) -> Network:
        kinds = {path: type(one).__name__ for path, one in rebuild.all_layers(model)}

        def rewrite(graph: Graph) -> Graph:
            config = self.config
            self.schemes = student.schemes(
                graph, kinds, config.student, config.clipping
            )
            return quantized(graph, self.schemes)

        return Network(model, self.config, choices, salts=self.salts, rewrite=rewrite)

    def _make_teacher(
        self,
        model: tf_keras.Model,
        given: tf_keras.Model | None,
        choices: Mapping[str, str],
    ) -> Network:
        config = self.config
        if config.teacher == FROZEN and given is None:
            raise ModelError("teacher='frozen' needs a teacher_model, or name its file")
        if given is None:
            given = model if config.online else load(config.teacher).model
        logits, _ = as_logits(computing_in_float32(given), "softmax")
        build = functools.partial(
            Network, logits, choices=choices, prefix=PREFIX, salts=self.salts
        )
        if config.online:
            return build(config)
        return build(config, frozen=True)

    def _check_fit(self) -> None:
        """Raises ModelError where teacher and student do not fit each other."""
        ours = [(part.name, part.shape) for part in self.features]
        theirs = [(part.name, part.shape) for part in self.teacher.features]
        if ours != theirs:
            raise ModelError(f"the student reads {ours}, the teacher {theirs}")
        classes = self.teacher.graph.output.shape
        if classes != (self.num_classes,):
            raise ModelError(
                f"the student has {self.num_classes} classes, the teacher's output is "
                f"{list(classes)}"
            )
        self._check_penalties()
        if self.config.online and not self.teacher.graph.trainable:
            raise ModelError("an online teacher learns, but none of its layers does")

    def _check_penalties(self) -> None:
        """Raises ModelError for a penalty on what a layer puts out: the student's is
        quantized, and would be another's."""
        for network in (self.network, self.teacher):
            for node in network.graph.nodes:
                if node.name in network.graph.activities:
                    raise ModelError(
                        f"layer {node.layer!r} has a penalty on its output, which "
                        "distill does not have: save the model without that "
                        "activity_regularizer, or use --method=finetune"
                    )

    @property
    def graphs(self) -> tuple[Graph, ...]:
        return (self.network.graph, self.teacher.graph)

    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.network.layers, *self.teacher.layers)))

    def plan_names(self) -> dict[str, str]:
        theirs = {PREFIX + n: name for n, name in self.teacher.plan_names.items()}
        return {**self.network.plan_names, **theirs}

    def state_tensors(self) -> list[StateTensor]:
        setting = StateTensor.setting
        settings = [
            setting(name, getattr(self.config, name), RANGES[name])
            for name in HYPERPARAMETERS
        ]
        found = [*super().state_tensors(), *settings, *temperature.state_tensors()]
        if self.teacher_learner is None:
            return found
        about = "optimizer steps of the teacher"
        return [
            *found,
            *self.teacher.state_tensors(),
            *self.teacher_learner.state_tensors(),
            StateTensor.of(UPDATES, np.int32(0), "counter", about),
        ]

    def train(self, state: Tensors, inputs: Tensors) -> Outcome:
        batch = self.seen(state, inputs)
        record, theirs = self._forward(state, batch)
        z = theirs.output if isinstance(theirs, Tape) else theirs
        ours, teacher = losses.Logits.of(record.output), losses.Logits.of(z)
        good = tf.reduce_sum(batch.good, keepdims=True)
        shares = losses.Shares(
            column(batch.good / tf.maximum(good, 1.0)), column(batch.share)
        )
        target = tf.one_hot(batch.y, self.num_classes)
        entropies = shares.entropy(teacher), shares.entropy(ours)
        found = temperature.follow(self.config, state, *entropies)
        loss, gradient = losses.of_student(
            ours, teacher, target, shares, found.value, found.hard, state
        )
        loss = self.network.penalized(state, loss, record, record.run.rows)
        learned = self.learn(state, record.backward(gradient))
        news = {**self.network.named(record.moved), **found.news, **learned.update}
        finite = [rows.finite(loss), rows.finite(learned.norm)]
        outputs = {
            "loss": loss,
            "rejected_rows": batch.rejected,
            "gradient_norm": learned.norm,
            "temperature": found.value,
            "hard_weight": found.hard,
            "teacher_entropy": found.news["teacher_entropy"],
            "student_entropy": found.news["student_entropy"],
        }
        changes = []
        if isinstance(theirs, Tape):
            taught = self._teach(state, theirs, (teacher, ours, target, shares), batch)
            news |= self.teacher.named(theirs.moved)
            changes.append(Change(taught.update, taught.learns))
            finite += [rows.finite(taught.loss), rows.finite(taught.norm)]
            outputs["teacher_loss"] = taught.loss
            outputs["gap_mode"] = 1 - tf.cast(taught.learns, tf.int32)
        acceptable = functools.reduce(tf.logical_and, finite, self.enough(batch))
        return settle(state, outputs, [Change(news), *changes], acceptable)

    def _forward(self, state: Tensors, batch: rows.Labelled):
        """Returns the student's record and the teacher's, or its logits if frozen."""
        x, good = self.augment(state, batch.x), Rows.of(batch.good)
        record = self.network.forward(state, x, good)
        if self.teacher_learner is None:
            return record, self.teacher.infer(state, x, good, judged=True)
        return record, self.teacher.forward(state, x, good)

    def _teach(
        self, state: Tensors, record: Tape, outputs: tuple, batch: rows.Labelled
    ) -> _Taught:
        """Returns what an online teacher learns of a batch."""
        teacher, ours, target, shares = outputs
        mutual = self.config.mutual_weight
        loss, gradient = losses.of_teacher(teacher, ours, target, shares, mutual)
        loss = self.teacher.penalized(state, loss, record, record.run.rows)
        gradients = self.teacher.gradients(state, record.backward(gradient))
        done = state[UPDATES]
        learned = self.teacher_learner.learn(state, gradients, state["step"], done)
        learns = batch.some
        if self.config.gap_rule:
            paused = gap.pauses(ours.p, teacher.p, target, shares.labelled)
            learns = tf.logical_and(learns, tf.logical_not(paused))
        return _Taught(
            loss, learned.norm, {**learned.update, UPDATES: saturating(done, 1)}, learns
        )

    def proof(self, sample: Any = None) -> Any:
        from tflite_odl.proof.distill import DistillProof

        return DistillProof(self, sample)
