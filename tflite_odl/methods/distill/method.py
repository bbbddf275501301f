"""`distill`: a real-valued teacher trains a binary or low-bit student, row by row."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.builtin import rows
from tflite_odl.builtin.graph import Graph
from tflite_odl.builtin.losses.base import column
from tflite_odl.builtin.losses.cross_entropy import smoothed
from tflite_odl.builtin.lowering import Rows
from tflite_odl.builtin.quantizers.rewrite import Scheme, quantized
from tflite_odl.builtin.tape import Tape
from tflite_odl.contract import UNLABELLED
from tflite_odl.errors import ModelError
from tflite_odl.methods.base import Change, Outcome, StateTensor, Tensors
from tflite_odl.methods.distill import gap, losses, student, temperature
from tflite_odl.methods.distill.config import FROZEN, RANGES, DistillConfig
from tflite_odl.methods.learner import Learned, Learner
from tflite_odl.methods.network import (
    Network,
    computing_in_float32,
    without_left_out,
)
from tflite_odl.methods.step import saturating, settle
from tflite_odl.methods.supervised import Supervised
from tflite_odl.reading import rebuild
from tflite_odl.reading.load import LoadedModel, load
from tflite_odl.reading.logits import as_logits

# Of the teacher's names in state and plan.
PREFIX = "teacher_"
UPDATES = f"{PREFIX}updates"
SLOW = ("sgd", "momentum", "nesterov")
MOVES_SLOWLY = (
    "moves the weights behind signs and steps slowly: fresh students learn sooner by "
    "adam (optimizer, --optimizer)"
)


@dataclasses.dataclass(frozen=True)
class _Labels:
    """A batch's labels.

    Attributes:
      hard: [B, C], 0 and 1.
      target: the same, smoothed.
      shares: what each row weighs.
      some: [1] bool, whether a row has a label.
    """

    hard: tf.Tensor
    target: tf.Tensor
    shares: losses.Shares
    some: tf.Tensor


@dataclasses.dataclass(frozen=True)
class _Taught:
    """What an online teacher learns of a batch.

    Attributes:
      loss: L_t, [1].
      learned: what its gradients come to.
      update: new values of its weights.
      learns: [1] bool, whether it does not pause.
      due: [1] bool, whether the update is taken.
    """

    loss: tf.Tensor
    learned: Learned
    update: dict[str, tf.Tensor]
    learns: tf.Tensor
    due: tf.Tensor


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
    follows = False
    Config = DistillConfig
    losses = ("sparse_cross_entropy",)

    def __init__(
        self,
        model: tf_keras.Model | LoadedModel,
        classes: Sequence[str] = (),
        choices: Mapping[str, str] | None = None,
        teacher_model: tf_keras.Model | LoadedModel | None = None,
        **config: Any,
    ) -> None:
        self.schemes: dict[str, Scheme] = {}
        theirs = {n: c for n, c in (choices or {}).items() if n.startswith(PREFIX)}
        ours = {n: c for n, c in (choices or {}).items() if n not in theirs}
        super().__init__(model, classes, ours, **config)
        theirs = {n.removeprefix(PREFIX): c for n, c in theirs.items()}
        self.teacher = self._make_teacher(teacher_model, theirs)
        self._check_fit()
        if tied := student.tied_maxima(self.network.graph):
            warnings.warn(
                f"layers {tied} take maxima of a binary layer's sums, many of which "
                "are equal: the proof may fail; pool averages there, or give the layer "
                "before more bits",
                stacklevel=2,
            )
        self.notes += (student.summary(self.schemes, self.network.graph),)
        if self.config.optimizer in SLOW:
            self.notes += (f"{self.config.optimizer} {MOVES_SLOWLY}",)
        # Where the file lies on this machine is nothing for a manifest.
        name = pathlib.PurePath(self.config.teacher).name
        self.config = dataclasses.replace(self.config, teacher=name)
        if self.config.temperature == "learnable":
            logit = np.array([temperature.FIRST_LOGIT], np.float32)
            weights = {**self.network.learning(), temperature.LOGIT: logit}
            self.learner = Learner(self.config, weights)
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
        self, given: tf_keras.Model | LoadedModel | None, choices: Mapping[str, str]
    ) -> Network:
        config = self.config
        if config.teacher == FROZEN and given is None:
            raise ModelError("teacher='frozen' needs a teacher_model, or name its file")
        logits = self.network.model
        if given is not None or not config.online:
            loaded = load(config.teacher) if given is None else LoadedModel.of(given)
            for note in loaded.notes:
                warnings.warn(f"teacher: {note}", stacklevel=3)
            model = without_left_out(computing_in_float32(loaded.model))
            logits, _ = as_logits(model, "softmax")
        return Network(
            logits,
            config,
            choices,
            prefix=PREFIX,
            salts=self.salts,
            frozen=not config.online,
        )

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
            for name in self.config.settings
        ]
        if self.config.temperature == "learnable":
            name, about = temperature.LOGIT, "of the learnable temperature"
            first = self.learner.weights[name]
            settings.append(StateTensor.of(name, first, "weight", about))
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
        if not self.config.use_labels:
            inputs = {**inputs, "y": tf.fill(inputs["y"].shape, UNLABELLED)}
        batch = self.seen(state, inputs)
        record, theirs = self._forward(state, batch)
        z = theirs.output if isinstance(theirs, Tape) else theirs
        ours, teacher = losses.Logits.of(record.output), losses.Logits.of(z)
        labels = self._labels(batch, inputs.get("weight"))
        shares = labels.shares
        entropies = shares.entropy(teacher), shares.entropy(ours)
        found = temperature.follow(self.config, state, *entropies)
        loss, gradient = losses.of_student(
            ours,
            teacher,
            labels.target,
            shares,
            found.value,
            found.hard,
            state,
            self.config.standardize,
        )
        loss = self.network.penalized(state, loss, record, record.run.rows)
        gradients = record.backward(gradient)
        if self.config.temperature == "learnable":
            slope = losses.by_temperature(
                ours, teacher, shares, found.value, self.config.standardize
            )
            gradients[temperature.LOGIT] = temperature.gradient(
                self.config, state, state["teacher_weight"] * slope
            )
        learned = self.learn(state, gradients)
        news = {**self.network.named(record.moved), **found.news, **learned.news}
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
        changes = [Change(learned.update, learned.due)]
        if learned.due is None:
            news, changes = {**news, **learned.update}, []
        if isinstance(theirs, Tape):
            taught = self._teach(state, theirs, ours, teacher, labels)
            news |= {**self.teacher.named(theirs.moved), **taught.learned.news}
            changes.append(Change(taught.update, taught.due))
            finite += [rows.finite(taught.loss), rows.finite(taught.learned.norm)]
            outputs["teacher_loss"] = taught.loss
            outputs["gap_mode"] = 1 - tf.cast(taught.learns, tf.int32)
        acceptable = functools.reduce(tf.logical_and, finite, self.enough(batch))
        return settle(state, outputs, [Change(news), *changes], acceptable)

    def _labels(self, batch: rows.Labelled, weight: tf.Tensor | None) -> _Labels:
        """Returns a batch's labels; a row's weight is clean where the row is good."""

        def mean(chosen: tf.Tensor) -> tf.Tensor:
            count = tf.reduce_sum(chosen, keepdims=True)
            return column(chosen / tf.maximum(count, 1.0))

        hard, of_class = tf.one_hot(batch.y, self.num_classes), None
        if weight is not None:
            weight = column(tf.where(batch.good > 0.0, weight, 0.0))
        if self.config.class_weights:
            weights = np.asarray(self.config.class_weights, np.float32)
            of_class = tf.reduce_sum(hard * weights, 1, keepdims=True)
        target = smoothed(hard, self.config.label_smoothing, 1.0 / self.num_classes)
        shares = losses.Shares(mean(batch.good), mean(batch.labelled), weight, of_class)
        return _Labels(hard, target, shares, batch.some)

    def _forward(self, state: Tensors, batch: rows.Labelled):
        """Returns the student's record and the teacher's, or its logits if frozen."""
        x, good = self.augment(state, batch.x), Rows.of(batch.good)
        record = self.network.forward(state, x, good)
        if self.teacher_learner is None:
            return record, self.teacher.infer(state, x, good, judged=True)
        return record, self.teacher.forward(state, x, good)

    def _teach(
        self,
        state: Tensors,
        record: Tape,
        ours: losses.Logits,
        teacher: losses.Logits,
        labels: _Labels,
    ) -> _Taught:
        """Returns what an online teacher learns of a batch.

        Of a group of batches the last one decides whether the group is learned from.
        """
        shares, mutual = labels.shares, state["mutual_weight"]
        loss, gradient = losses.of_teacher(teacher, ours, labels.target, shares, mutual)
        loss = self.teacher.penalized(state, loss, record, record.run.rows)
        gradients = self.teacher.gradients(state, record.backward(gradient))
        done = state[UPDATES]
        learned = self.teacher_learner.learn(state, gradients, state["step"], done)
        learns = labels.some
        if self.config.gap_rule:
            paused = gap.pauses(ours.p, teacher.p, labels.hard, shares.labelled)
            learns = tf.logical_and(learns, tf.logical_not(paused))
        due = learns if learned.due is None else tf.logical_and(learns, learned.due)
        update = {**learned.update, UPDATES: saturating(done, 1)}
        return _Taught(loss, learned, update, learns, due)

    def proof(self, sample: Any = None) -> Any:
        from tflite_odl.proof.distill import DistillProof

        return DistillProof(self, sample)
