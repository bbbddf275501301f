"""`contrastive`: an encoder learns from a stream without labels, by SimCLR's loss.

A step draws items of the buffer, adds the new segment, passes two random views of each
forward, and learns from the contrast. The same forward pass gives the scores by which
the buffer keeps some of what it had and of what came.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl import contract
from tflite_odl.builtin import random, rows
from tflite_odl.builtin.losses.nt_xent import Normalized, normalized, nt_xent
from tflite_odl.builtin.lowering import Rows
from tflite_odl.contract import TensorSpec
from tflite_odl.errors import ModelError
from tflite_odl.methods.augmentation import AUTO, View
from tflite_odl.methods.base import (
    Change,
    Entry,
    Method,
    Outcome,
    Serving,
    StateTensor,
    Tensors,
)
from tflite_odl.methods.contrastive import buffer, labels, policies, scores
from tflite_odl.methods.contrastive.buffer import Draw, Slots
from tflite_odl.methods.contrastive.config import (
    FLIP,
    MIN_RED,
    ONLY,
    RESERVOIR,
    TAU,
    ContrastiveConfig,
)
from tflite_odl.methods.contrastive.scores import Scored
from tflite_odl.methods.learner import Learner
from tflite_odl.methods.network import Network
from tflite_odl.methods.step import counters, settle
from tflite_odl.reading.encoder import HIDDEN, encoder, with_projector

ENROLL, CLASSIFY, REFRESH = "enroll", "classify", "refresh"
# State tensors of the buffer, by the fields of `Slots`.
BUFFER = {
    "item": "buffer_items",
    "score": "buffer_scores",
    "arrival": "buffer_arrivals",
    "uses": "buffer_uses",
    "filled": "buffer_flags",
    "embedding": "buffer_embeddings",
}
# Likewise of the enrolled items, by those of `Enrolled`.
ENROLLED = {
    "item": "enrolled_items",
    "label": "enrolled_labels",
    "arrival": "enrolled_arrivals",
}
EMBEDDINGS = "enrolled_embeddings"
# Share of a running mean of embeddings that is left when an item is embedded again.
EMBEDDING_RHO = 0.5
DEFAULT_TAU = {3: 0.5, 2: 0.1}


@dataclasses.dataclass(frozen=True)
class Segment:
    """The new items of a step.

    Attributes:
      item: [n, ...], as the sensor gives them, zeros in rows that do not count.
      good: [n] float32, 1 for rows that count.
      rejected: [1] int32, real rows that do not.
    """

    item: tf.Tensor
    good: tf.Tensor
    rejected: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Step:
    """What a mini-batch comes to.

    Attributes:
      loss: [1].
      gradients: {weight name: gradient}.
      moved: {weight name: new value} of what moves without a gradient.
      scored: of its rows.
    """

    loss: tf.Tensor
    gradients: Tensors
    moved: Tensors
    scored: Scored


class Contrastive(Method):
    """An encoder, a projector, a scored buffer and SimCLR's loss.

    Args:
      model: a tf_keras model with one input, images [H, W, C] or windows [T, C]; what
        its classifier reads is the embedding, see `reading.encoder`.
      classes: class names, or none.
      choices: {node name: lowering name}, else the default plan.
      **config: fields of `ContrastiveConfig`.

    Attributes:
      network: the encoder with the projector behind it.
      encoder: the part of it up to the embedding.
      learner: of their trainable weights.
      views: the two random views of an item.
      salts: of all random draws.

    Raises:
      ModelError: the model or an option of it cannot be trained so.
    """

    name = "contrastive"
    Config = ContrastiveConfig

    def __init__(
        self,
        model: tf_keras.Model,
        classes: Sequence[str] = (),
        choices: Mapping[str, str] | None = None,
        **config: Any,
    ) -> None:
        self.config = self.Config(**config)
        self.classes, self.salts = tuple(classes), random.Salts()
        self.source_model = encoder(model)
        whole = with_projector(
            self.source_model,
            self.config.projector_width,
            self.config.projection,
            self.config.seed,
        )
        self.network = Network(whole, self.config, choices, salts=self.salts)
        self.features = self.network.features
        if len(self.features) != 1:
            raise ModelError(
                f"contrastive takes one input, the model has {len(self.features)}"
            )
        if not self.network.graph.trainable:
            raise ModelError("nothing to train: no layer with weights is trainable")
        nodes = self.network.graph.nodes
        hidden = next(n for n in nodes if n.layer == HIDDEN and n.op == "dense")
        self.encoder = self.network.until(hidden.inputs[0])
        self.learner = Learner(self.config, self.network.learning())
        family = self.config.family(self.features[0], AUTO)
        self.views = tuple(
            View.of(family, self.salts, name) for name in ("view_1", "view_2")
        )
        for name in ("draw", "policy", "reservoir"):
            self.salts(name)  # in this order, whoever asks first
        self.tau = self.config.tau or DEFAULT_TAU[len(self.features[0].shape)]

    @property
    def capacity(self) -> int:
        """Slots of the buffer."""
        return self.config.buffer

    def replayed(self, segment: int) -> int:
        """Returns how many items are drawn beside, or, if the mini-batch is of the
        buffer only, instead of, a segment of so many rows."""
        drawn = self.config.replay or min(segment, self.capacity)
        if self.config.minibatch == ONLY:
            drawn = min(segment + drawn, self.capacity)
        return drawn

    def layers(self) -> tuple[str, ...]:
        return self.network.layers

    def plan_names(self) -> dict[str, str]:
        return self.network.plan_names

    def state_tensors(self) -> list[StateTensor]:
        of = StateTensor.of
        return [
            *self.network.state_tensors(),
            *self.learner.state_tensors(),
            StateTensor.setting("tau", self.tau, TAU),
            *counters(self.config.seed),
            *self._buffer_state(),
            of(
                "arrived",
                np.int32(0),
                "counter",
                "good items that the stream has brought so far",
            ),
            *self._enrolled_state(),
        ]

    def _buffer_state(self) -> list[StateTensor]:
        size, (part,) = self.capacity, self.features
        if not size:
            return []
        values = {
            "item": np.zeros((size, *part.shape), part.preprocessing.dtype),
            "score": np.zeros(size, np.float32),
            "arrival": np.full(size, -1, np.int32),
            "uses": np.zeros(size, np.int32),
            "filled": np.zeros(size, np.float32),
        }
        if self.config.buffer_policy == MIN_RED:
            values["embedding"] = np.zeros((size, self.config.projection), np.float32)
        return [
            StateTensor.of(BUFFER[field], value, "buffer")
            for field, value in values.items()
        ]

    def _enrolled_state(self) -> list[StateTensor]:
        size, (part,) = self.config.enroll, self.features
        width = self.encoder.graph.output.shape[0]
        values = {
            ENROLLED["item"]: np.zeros((size, *part.shape), part.preprocessing.dtype),
            ENROLLED["label"]: np.full(size, contract.UNLABELLED, np.int32),
            ENROLLED["arrival"]: np.full(size, -1, np.int32),
            EMBEDDINGS: np.zeros((size, width), np.float32),
        }
        return [StateTensor.of(n, value, "buffer") for n, value in values.items()]

    def entries(self, batch_size: int, infer_batch_size: int) -> list[Entry]:
        of_batch = self.inputs(batch_size)
        x, y, count = of_batch
        one = self.network.specs(infer_batch_size)
        about = "any value; Java needs an input"
        unused = TensorSpec("unused", "float32", (1,), about=about)
        named = TensorSpec("y", "int32", y.shape, "label", about="class, 0 or more")
        return [
            Entry(contract.TRAIN, (x, count), self.train),
            Entry(contract.INFER, one, self.infer),
            Entry(contract.EVALUATE, of_batch, self.evaluate),
            Entry(ENROLL, (x, named, count), self.enroll),
            Entry(CLASSIFY, one, self.classify),
            Entry(REFRESH, (unused,), self.refresh),
        ]

    def inputs(self, batch_size: int) -> tuple[TensorSpec, ...]:
        """Returns the inputs of evaluate: the feature, the label, the count."""
        (x,) = self.network.specs(batch_size)
        about = "class, -1 = unlabelled"
        shape = (batch_size,)
        return (
            x,
            TensorSpec("y", "int32", shape, "label", "", about, contract.UNLABELLED),
            TensorSpec("count", "int32", (1,), "count", "rows", "real leading rows"),
        )

    def train(self, state: Tensors, inputs: Tensors) -> Outcome:
        segment = self.segment(inputs)
        if not self.capacity:
            step = self.step(state, segment.item, segment.good)
            news, drawn = {}, {"mean_score": _mean(step.scored.score, segment.good)}
        elif self.config.minibatch == ONLY:
            step, news, drawn = self._select_first(state, segment)
        else:
            step, news, drawn = self._select_last(state, segment)
        new = tf.cast(tf.reduce_sum(segment.good, keepdims=True), tf.int32)
        news["arrived"] = state["arrived"] + new
        done = state["step"] // self.config.accumulate
        gradients = self.network.named(step.gradients)
        learned = self.learner.learn(state, gradients, state["step"], done)
        outputs = {
            "loss": step.loss,
            "rejected_rows": segment.rejected,
            "gradient_norm": learned.norm,
            **drawn,
        }
        changes = learned.changes({**self.network.named(step.moved), **news})
        whole = tf.logical_and(rows.finite(step.loss), rows.finite(learned.norm))
        return settle(state, outputs, changes, tf.logical_and(new > 0, whole))

    def _select_last(self, state: Tensors, segment: Segment):
        """Returns (step, news, metrics): drawn items and the segment make the
        mini-batch, then buffer and segment are selected from."""
        slots, drawn = self._drawn(state, self._slots(state), segment)
        count = drawn.mask.shape[0]
        item = tf.concat([tf.gather(slots.item, drawn.places), segment.item], 0)
        mask = tf.concat([drawn.mask, segment.good], 0)
        step = self.step(state, item, mask)
        slots = self._scored_again(slots, drawn, step.scored.rows(0, count))
        scored = step.scored.rows(count, item.shape[0])
        given, counted = step.scored.score, mask
        if self.config.score == FLIP:
            scored = self.scored_apart(state, segment.item, segment.good)
            given, counted = scored.score, segment.good
        kept, slots = self._selected(state, slots, segment, scored, uses=1)
        return step, _state_of(slots), _metrics(slots, kept, given, counted)

    def _select_first(self, state: Tensors, segment: Segment):
        """Returns the same of a mini-batch that is drawn from what is selected."""
        scored = Scored(tf.zeros_like(segment.good), self._no_embedding(segment))
        if self.config.scored or self.config.buffer_policy == MIN_RED:
            scored = self.scored_apart(state, segment.item, segment.good)
        slots = self._slots(state)
        kept, slots = self._selected(state, slots, segment, scored, uses=0)
        slots, drawn = self._drawn(state, slots, segment)
        step = self.step(state, tf.gather(slots.item, drawn.places), drawn.mask)
        slots = self._scored_again(slots, drawn, step.scored)
        metrics = _metrics(slots, kept, scored.score, segment.good)
        if not self.config.scored:
            metrics["mean_score"] = _mean(step.scored.score, drawn.mask)
        return step, _state_of(slots), metrics

    def segment(self, inputs: Tensors) -> Segment:
        """Returns the rows of a call, those that do not count zeroed."""
        counted, name = self.network.counted(inputs), self.features[0].name
        item = inputs[name]
        if item.dtype == tf.float32:
            good = tf.reshape(counted.good, [-1] + [1] * (item.shape.rank - 1))
            item = tf.where(good, item, 0.0)
        return Segment(
            item,
            tf.cast(counted.good, tf.float32),
            rows.rejected(counted.real, counted.good),
        )

    def step(self, state: Tensors, item: tf.Tensor, mask: tf.Tensor) -> Step:
        """Returns what a mini-batch comes to: the only forward pass in training.

        Args:
          item: [M, ...], as the sensor gives them.
          mask: [M] float32, 1 for rows that count.
        """
        raw, count = tf.cast(item, tf.float32), item.shape[0]
        both = [view(state["random"], raw) for view in self.views]
        x = self._preprocessed(tf.concat(both, 0))
        good = Rows.of(tf.concat([mask, mask], 0))
        record = self.network.forward(state, x, good)
        first, second = (
            normalized(part) for part in (record.output[:count], record.output[count:])
        )
        found = nt_xent(first.z, second.z, mask, state["tau"])
        du = tf.concat([first.backward(found.dz1), second.backward(found.dz2)], 0)
        scored = scores.of_training(self.config.score, found, first, second)
        return Step(found.loss, record.backward(du), record.moved, scored)

    def scored_apart(self, state: Tensors, item: tf.Tensor, mask: tf.Tensor) -> Scored:
        """Returns scores by forward passes of their own, in inference.

        Args:
          item, mask: as `step` takes them.
        """
        raw, kind = tf.cast(item, tf.float32), self.config.score
        pair = [view(state["random"], raw) for view in self.views]
        if kind == FLIP:
            pair = [raw, scores.mirrored(raw)]
        first, second = self._projected(state, pair)
        return scores.apart(kind, first, second, mask, state["tau"])

    def _projected(self, state: Tensors, pair: Sequence[tf.Tensor]) -> list[Normalized]:
        """Returns the projections of two raw batches, in inference."""
        x = self._preprocessed(tf.concat(list(pair), 0))
        every = Rows.of(tf.ones([x[0].shape[0]]))
        output = self.network.infer(state, x, every, judged=True)
        count = pair[0].shape[0]
        return [normalized(part) for part in (output[:count], output[count:])]

    def _preprocessed(self, raw: tf.Tensor) -> list[tf.Tensor]:
        return [self.features[0].preprocessing(raw)]

    def _slots(self, state: Tensors) -> Slots:
        """Returns the buffer, its scores made anew where that is due."""
        slots = Slots(**{field: state.get(name) for field, name in BUFFER.items()})
        if not self.config.rescore_every:
            return slots
        due = tf.equal(state["step"] % self.config.rescore_every, 0)
        fresh = tf.cond(
            tf.reshape(due, []),
            lambda: self.scored_apart(state, slots.item, slots.filled).score,
            lambda: slots.score + 0.0,
        )
        return buffer.rescored(slots, fresh, tf.cast(due, tf.float32))

    def _drawn(
        self, state: Tensors, slots: Slots, segment: Segment
    ) -> tuple[Slots, Draw]:
        """Returns (the slots, those that are drawn used once more; the draw)."""
        uniform = self._uniform(state, "draw", self.capacity)
        count = self.replayed(segment.good.shape[0])
        if self.config.draw_by_score:
            drawn = buffer.draw_by_score(slots.score, slots.filled, uniform, count)
        else:
            drawn = buffer.draw(slots.filled, uniform, count)
        return buffer.used(slots, drawn), drawn

    def _scored_again(self, slots: Slots, drawn: Draw, scored: Scored) -> Slots:
        """Returns the slots, what is known of drawn items moved towards the new."""
        embedding = slots.embedding
        if embedding is not None:
            embedding = buffer.moved(embedding, scored.embedding, drawn, EMBEDDING_RHO)
        score = slots.score
        if self.config.score != FLIP and self.config.buffer_policy != RESERVOIR:
            score = buffer.moved(score, scored.score, drawn, self.config.rho)
        return dataclasses.replace(slots, score=score, embedding=embedding)

    def _selected(
        self,
        state: Tensors,
        slots: Slots,
        segment: Segment,
        scored: Scored,
        uses: int,
    ) -> tuple[tf.Tensor, Slots]:
        """Returns (which candidates are kept, [N]; the next buffer)."""
        count = segment.good.shape[0]
        score = scored.score
        if self.config.buffer_policy == RESERVOIR:
            score = self._uniform(state, "reservoir", count)
        # Good rows are numbered without gaps.
        number = tf.cumsum(tf.cast(segment.good, tf.int32), exclusive=True)
        new = Slots(
            segment.item,
            score,
            state["arrived"] + number,
            tf.fill([count], uses),
            segment.good,
            None if slots.embedding is None else scored.embedding,
        )
        candidates = buffer.joined(slots, new)
        if self.config.max_uses:
            stays = tf.cast(candidates.uses < self.config.max_uses, tf.float32)
            candidates = dataclasses.replace(
                candidates, filled=candidates.filled * stays
            )
        policy = policies.find(self.config.buffer_policy)
        uniform = self._uniform(state, "policy", len(candidates))
        kept = policy(candidates, self.capacity, uniform)
        return kept, buffer.taken(candidates, kept)

    def _uniform(self, state: Tensors, name: str, count: int) -> tf.Tensor:
        return random.uniform(state["random"], [count], self.salts(name))

    def _no_embedding(self, segment: Segment) -> tf.Tensor:
        return tf.zeros([segment.good.shape[0], self.config.projection])

    def infer(self, state: Tensors, inputs: Tensors) -> Outcome:
        x = self.network.preprocess(inputs)
        return Outcome({"embedding": self._embedded(state, x, judged=False)})

    def _embedded(self, state: Tensors, x: Sequence, judged: bool) -> tf.Tensor:
        every = Rows.of(tf.ones([x[0].shape[0]]))
        return normalized(self.encoder.infer(state, x, every, judged)).z

    def serving(self) -> Serving:
        return Serving(self.encoder, lambda y: {"embedding": normalized(y).z})

    def classify(self, state: Tensors, inputs: Tensors) -> Outcome:
        embedding = self.infer(state, inputs).outputs["embedding"]
        told = self._told(state, embedding)
        return Outcome({"label": told.label, "similarity": told.similarity})

    def _told(self, state: Tensors, embedding: tf.Tensor) -> labels.Told:
        known, label = state[EMBEDDINGS], state[ENROLLED["label"]]
        return labels.classified(embedding, known, label, self.config.neighbours)

    def evaluate(self, state: Tensors, inputs: Tensors) -> Outcome:
        counted = self.network.counted(inputs)
        told = self._told(state, self._embedded(state, counted.x, judged=True))
        y = inputs["y"]
        asked = tf.logical_and(counted.good, self._valid(y))
        asked = tf.cast(tf.logical_and(asked, told.label >= 0), tf.float32)
        right = tf.cast(tf.equal(told.label, y), tf.float32) * asked
        total = tf.reduce_sum(asked, keepdims=True)
        return Outcome(
            {
                "similarity": _mean(told.similarity, asked),
                "correct": tf.cast(tf.reduce_sum(right, keepdims=True), tf.int32),
                "count": tf.cast(total, tf.int32),
            }
        )

    def _valid(self, y: tf.Tensor) -> tf.Tensor:
        """Returns [B] bool: labels that are classes."""
        if not self.classes:
            return y >= 0
        return tf.logical_and(y >= 0, y < len(self.classes))

    def enroll(self, state: Tensors, inputs: Tensors) -> Outcome:
        """Takes labelled items in, and embeds all there are anew."""
        segment, y = self.segment(inputs), inputs["y"]
        valid = tf.logical_and(segment.good > 0.0, self._valid(y))
        found = labels.enrolled(_enrolled(state), segment.item, y, valid)
        taken = tf.cast(valid, tf.int32)
        bad = segment.rejected + tf.cast(
            tf.reduce_sum(segment.good, keepdims=True), tf.int32
        )
        accepted = tf.reduce_any(valid, keepdims=True)
        news = {
            name: getattr(found, field) for field, name in ENROLLED.items()
        } | self._fresh(state, found)
        outputs = {
            "enrolled": found.count(),
            "rejected_rows": bad - tf.reduce_sum(taken, keepdims=True),
            "accepted": tf.cast(accepted, tf.int32),
        }
        return Outcome(outputs, [Change(news)], accepted)

    def refresh(self, state: Tensors, inputs: Tensors) -> Outcome:
        """Embeds the enrolled items anew, for the encoder has learned since."""
        present = _enrolled(state)
        some = present.count() > 0
        outputs = {"enrolled": present.count(), "accepted": tf.cast(some, tf.int32)}
        return Outcome(outputs, [Change(self._fresh(state, present))], some)

    def _fresh(self, state: Tensors, items: labels.Enrolled) -> dict[str, tf.Tensor]:
        x = self._preprocessed(tf.cast(items.item, tf.float32))
        return {EMBEDDINGS: self._embedded(state, x, judged=True)}

    def proof(self, sample: Any = None) -> Any:
        from tflite_odl.proof.contrastive import ContrastiveProof

        return ContrastiveProof(self, sample)


def _enrolled(state: Tensors) -> labels.Enrolled:
    fields = {field: state[name] for field, name in ENROLLED.items()}
    return labels.Enrolled(**fields)


def _state_of(slots: Slots) -> dict[str, tf.Tensor]:
    found = {name: getattr(slots, field) for field, name in BUFFER.items()}
    return {name: value for name, value in found.items() if value is not None}


def _metrics(
    slots: Slots, kept: tf.Tensor, score: tf.Tensor, mask: tf.Tensor
) -> dict[str, tf.Tensor]:
    filled = tf.reduce_sum(slots.filled, keepdims=True)
    return {
        "mean_score": _mean(score, mask),
        "buffer_filled": tf.cast(filled, tf.int32),
        "buffer_replaced": buffer.replaced(kept, slots.filled),
    }


def _mean(value: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns [1] float32: the mean of the rows that count, 0 without any."""
    total = tf.reduce_sum(mask, keepdims=True)
    return tf.reduce_sum(value * mask, keepdims=True) / tf.maximum(total, 1.0)
