"""`skip`: supervised training that back-propagates only rows it is not sure of."""

from __future__ import annotations

import dataclasses
import functools
import operator
from typing import Any

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.lowering import Rows
from tflite_odl.builtin.rows import Labelled
from tflite_odl.builtin.tape import Tape
from tflite_odl.errors import ModelError
from tflite_odl.methods.base import Outcome, StateTensor, Tensors
from tflite_odl.methods.learner import Learned
from tflite_odl.methods.skip import compaction
from tflite_odl.methods.skip.baselines import BASELINES, KEEP_SKIPPED
from tflite_odl.methods.skip.config import RANGES, SkipConfig
from tflite_odl.methods.skip.policy import Policy, Scores
from tflite_odl.methods.skip.threshold import Threshold, interval
from tflite_odl.methods.step import saturating
from tflite_odl.methods.supervised import Supervised


class Skip(Supervised):
    """`finetune`, whose confident rows go forward only.

    After the whole batch's forward pass a policy weighs its labelled rows; rows of
    weight 0 are left out of backward, which runs in the smallest bucket that holds the
    others. The gradient is (1 / B) sum w_i dL_i/dW, B = all labelled rows. Where
    nothing is kept, weights and slots stay as they are; batch norms' moving statistics
    follow the forward pass in any case. Of batches that are accumulated, those of which
    nothing is kept count with a gradient of zero. Penalties on weights are no rows':
    they are in each batch's loss and gradient, and take part where an update is made;
    what is measured of single rows is without them.

    Args:
      model, classes, choices: as for `Supervised`.
      **config: fields of `SkipConfig`.
    """

    name = "skip"
    Config = SkipConfig
    losses = ("sparse_cross_entropy",)

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        kind = BASELINES.get(self.config.policy, Threshold)
        self.policy: Policy = kind(self.config)
        for node in self.network.graph.nodes:
            if node.name in self.network.graph.activities:
                raise ModelError(
                    f"layer {node.layer!r} has a penalty on its output, and rows that "
                    "are skipped would escape it: use --method=finetune, or save the "
                    "model without that activity_regularizer"
                )
        by_head = self.config.policy == "threshold" and not self.policy.probes
        last = self.network.graph.output
        if by_head and last.op != "dense":
            raise ModelError(
                f"gradient_ends='head' needs a Dense layer as the last one, the model "
                f"ends in layer {last.layer!r} ({last.op}): use gradient_ends='probe'"
            )

    def state_tensors(self) -> list[StateTensor]:
        of = StateTensor.of
        settings = self.policy.hyperparameters()
        return [
            *super().state_tensors(),
            *(StateTensor.setting(n, v, RANGES[n]) for n, v in settings.items()),
            of("updates", np.int32(0), "counter", "optimizer steps"),
            of("skipped_total", np.int32(0), "counter", "rows not back-propagated"),
            *self._group_tensors(),
            *self.policy.state_tensors(),
        ]

    def _group_tensors(self) -> list[StateTensor]:
        if self.config.accumulate == 1:
            return []
        about = "rows kept of the present group of batches"
        return [StateTensor.of("kept_in_group", np.int32(0), "counter", about)]

    def updates(self, state: Tensors) -> tf.Tensor:
        return state["updates"]

    def train(self, state: Tensors, inputs: Tensors) -> Outcome:
        batch = self.seen(state, inputs)
        record = self.forward(state, batch)
        loss, dlogits = self.loss.value(record.output, batch.y, batch.share)
        loss = self.network.penalized(state, loss, record, record.run.rows)
        record_of = self._record_of(record)
        scores = self._scores(state, batch, record, record_of)
        weights = self._weights(state, scores)
        kept = tf.cast(weights > 0.0, tf.float32)
        gradients = compaction.backward(
            record_of,
            dlogits * self._shares(weights, batch.labelled)[:, tf.newaxis],
            kept,
            self.config.bucket_sizes(kept.shape[0]),
            lambda: self._no_gradients(record),
        )
        learned = self.learn(state, gradients)
        rows = tf.reduce_sum(kept, keepdims=True)
        skipped = tf.reduce_sum(scores.labelled, keepdims=True) - rows
        news, metrics = self.policy.follow(state, scores)
        total = saturating(state["skipped_total"], tf.cast(skipped, tf.int32))
        group, due = self._group(state, learned, tf.cast(rows, tf.int32))
        update = {**learned.update, "updates": saturating(state["updates"], 1)}
        return self.outcome(
            state,
            batch,
            loss,
            dataclasses.replace(learned, update=update, due=due),
            record.moved,
            {**news, **group, "skipped_total": total},
            {"kept": tf.cast(rows, tf.int32), "skipped_total": total, **metrics},
        )

    def _group(
        self, state: Tensors, learned: Learned, rows: tf.Tensor
    ) -> tuple[Tensors, tf.Tensor]:
        """Returns (new state, whether an update is due: where a group of batches is
        complete and any row of it was kept).

        Args:
          state: before the step.
          learned: what the batch's gradients come to.
          rows: [1] int32, kept of this batch.
        """
        if learned.due is None:
            return {}, rows > 0
        before = tf.minimum(state["step"] % self.config.accumulate, 1)
        kept = saturating(state["kept_in_group"] * before, rows)
        return {"kept_in_group": kept}, tf.logical_and(learned.due, kept > 0)

    def _no_gradients(self, record: Tape) -> Tensors:
        """Returns {weight name: zeros}, made at run time so that they take no room."""
        names = self.network.graph.trainable
        return {name: record.weights[name] * record.zeros[0] for name in names}

    def proof(self, sample: Any = None) -> Any:
        from tflite_odl.proof.skip import SkipProof

        return SkipProof(self, sample)

    def _record_of(self, record: Tape):
        """Returns (rows, kept) -> the record that backward runs from."""

        def of(rows: tf.Tensor | None, kept: tf.Tensor) -> Tape:
            counted = Rows(kept, record.run.rows.count)
            if self.config.norm_means == "kept":
                counted = Rows.of(kept)
            forward = compaction.FORWARDS[self.config.forward]
            return forward(record, rows, counted)

        return of

    def _scores(self, state, batch: Labelled, record: Tape, record_of) -> Scores:
        """Returns what the policy sees of the batch."""
        target = tf.one_hot(batch.y, self.num_classes)
        probabilities = tf.nn.softmax(record.output)
        true = tf.reduce_sum(probabilities * target, 1)
        log_p = tf.reduce_sum(tf.nn.log_softmax(record.output) * target, 1)
        largest = self.config.confidence == "max"
        confidence = tf.reduce_max(probabilities, 1) if largest else true
        scores = Scores(batch.labelled, confidence, -log_p, state["random"], self.salts)
        if self.config.policy != "threshold":
            return scores
        if not self.policy.probes:
            sizes = _head_gradients(record, true)
            return dataclasses.replace(scores, gradients=sizes, measured=batch.labelled)
        dlogits, edges = probabilities - target, self.policy.edges
        return _probed(state, scores, edges, record_of, dlogits)

    def _weights(self, state: Tensors, scores: Scores) -> tf.Tensor:
        """Returns [B]: each row's weight, 0 where it is skipped."""
        config, weights = self.config, self.policy.keep(state, scores)
        if config.keep_skipped:
            drawn = tf.cast(scores.draw(KEEP_SKIPPED) < config.keep_skipped, tf.float32)
            skipped = 1.0 - tf.cast(weights > 0.0, tf.float32)
            weights += skipped * drawn / config.keep_skipped
        if config.warm_up:
            weights = tf.where(state["step"] < config.warm_up, 1.0, weights)
        if config.full_from is not None:
            weights = tf.where(state["step"] >= config.full_from, 1.0, weights)
        return weights * scores.labelled

    def _shares(self, weights: tf.Tensor, labelled: tf.Tensor) -> tf.Tensor:
        """Returns [B]: what the gradient of the mean loss is multiplied by."""
        if self.config.divide == "batch":
            return weights
        kept = tf.reduce_sum(tf.cast(weights > 0.0, tf.float32), keepdims=True)
        rows = tf.reduce_sum(labelled, keepdims=True)
        return weights * (rows / tf.maximum(kept, 1.0))


def _head_gradients(record: Tape, true: tf.Tensor) -> tf.Tensor:
    """Returns [B]: mean |dL_i / dW| of the last Dense, W [D, C], in closed form.

    2 (1 - c) ||h||_1 / (C D), for ||p - onehot||_1 = 2 (1 - c).
    """
    h = record.residual(record.graph.output.name, "x")
    scale = 2.0 / (h.shape[1] * record.output.shape[1])
    return (1.0 - true) * tf.reduce_sum(tf.abs(h), 1) * scale


def _probed(
    state: Tensors, scores: Scores, edges: np.ndarray, record_of, dlogits: tf.Tensor
) -> Scores:
    """Returns the scores with one row's whole gradient measured.

    In turn the first labelled row of the batch's lowest and of its highest interval.
    """
    size = scores.labelled.shape[0]
    sign = tf.math.floormod(state["step"], 2) * 2 - 1
    k = interval(scores.confidence, edges) * sign
    wanted = tf.cast(k * size - tf.range(size), tf.float32)
    # Larger than any of these differences: a row without a label is never chosen.
    wanted += scores.labelled * float(4 * size * len(edges))
    chosen = tf.math.top_k(wanted, 1).indices
    record = record_of(chosen, tf.ones([1]))
    found = record.backward(tf.gather(dlogits, chosen)).values()
    total = functools.reduce(operator.add, [_absolute_sum(g) for g in found])
    mean = total / float(sum(g.shape.num_elements() for g in found))
    measured = tf.reshape(tf.one_hot(chosen, size), [size]) * scores.labelled
    return dataclasses.replace(scores, gradients=measured * mean, measured=measured)


def _absolute_sum(gradient: tf.Tensor) -> tf.Tensor:
    """Returns [1], in two stages for kernels."""
    value = tf.abs(gradient)
    if value.shape.rank > 1:
        value = tf.reduce_sum(value, list(range(value.shape.rank - 1)))
    return tf.reduce_sum(value, 0, keepdims=True)
