"""The buffer at work: what of it makes a mini-batch with a segment, what is kept."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tflite_odl.builtin import random
from tflite_odl.methods.base import StateTensor, Tensors
from tflite_odl.methods.contrastive import buffer, policies
from tflite_odl.methods.contrastive.buffer import Draw, Slots
from tflite_odl.methods.contrastive.config import (
    FLIP,
    MIN_RED,
    ONLY,
    RESERVOIR,
    ContrastiveConfig,
)
from tflite_odl.methods.contrastive.siamese import Scored, Segment, Siamese, Step
from tflite_odl.methods.features import Feature

# State tensors, by the fields of `Slots`.
NAMES = {
    "item": "buffer_items",
    "score": "buffer_scores",
    "arrival": "buffer_arrivals",
    "uses": "buffer_uses",
    "filled": "buffer_flags",
    "embedding": "buffer_embeddings",
}
ARRIVED = "arrived"
# Share of an item's old embedding that is left when it is embedded again.
EMBEDDING_RHO = 0.5


@dataclasses.dataclass(frozen=True)
class Replayed:
    """A step with what it does to the buffer.

    Attributes:
      step: of the mini-batch.
      news: {state name: value}.
      metrics: {output name: value}.
    """

    step: Step
    news: dict[str, tf.Tensor]
    metrics: dict[str, tf.Tensor]


class Replay:
    """The buffer of a method.

    Args:
      config: of the method.
      siamese: what items are passed through.
      salts: of the method's draws.

    Attributes:
      capacity: slots, N_b; 0 = there is no buffer.
    """

    def __init__(
        self, config: ContrastiveConfig, siamese: Siamese, salts: random.Salts
    ) -> None:
        self.config, self.siamese, self.capacity = config, siamese, config.buffer
        # In this order, whoever asks first.
        self.salts = {name: salts(name) for name in ("draw", "policy", "reservoir")}

    def state_tensors(self, feature: Feature) -> list[StateTensor]:
        """Returns the buffer's state; feature: of the items."""
        size, of = self.capacity, StateTensor.of
        about = "good items that the stream has brought so far"
        found = [of(ARRIVED, np.int32(0), "counter", about)]
        if not size:
            return found
        values = {
            "item": np.zeros((size, *feature.shape), feature.preprocessing.dtype),
            "score": np.zeros(size, np.float32),
            "arrival": np.full(size, -1, np.int32),
            "uses": np.zeros(size, np.int32),
            "filled": np.zeros(size, np.float32),
        }
        if self.config.buffer_policy == MIN_RED:
            values["embedding"] = np.zeros((size, self.config.projection), np.float32)
        return found + [of(NAMES[n], value, "buffer") for n, value in values.items()]

    def drawn_beside(self, segment: int) -> int:
        """Returns how many items are drawn beside a segment of so many rows, or, where
        the mini-batch is of the buffer alone, in all."""
        count = self.config.replay or min(segment, self.capacity)
        if self.config.minibatch == ONLY:
            return min(segment + count, self.capacity)
        return count

    def __call__(self, state: Tensors, segment: Segment) -> Replayed:
        """Returns the step of a segment."""
        if not self.capacity:
            step, news = self.siamese.step(state, segment.item, segment.good), {}
            metrics = {"mean_score": mean(step.scored.score, segment.good)}
            found = Replayed(step, news, metrics)
        elif self.config.minibatch == ONLY:
            found = self._select_first(state, segment)
        else:
            found = self._select_last(state, segment)
        good = tf.reduce_sum(segment.good, keepdims=True)
        found.news[ARRIVED] = state[ARRIVED] + tf.cast(good, tf.int32)
        return found

    def _select_last(self, state: Tensors, segment: Segment) -> Replayed:
        """Drawn items and the segment make the mini-batch; then the next buffer is
        selected from the buffer and the segment, by what the step says of them."""
        slots, drawn = self._drawn(state, self._slots(state), segment)
        count = drawn.mask.shape[0]
        item = tf.concat([tf.gather(slots.item, drawn.places), segment.item], 0)
        mask = tf.concat([drawn.mask, segment.good], 0)
        step = self.siamese.step(state, item, mask)
        slots = self._scored_again(slots, drawn, step.scored.rows(0, count))
        scored, given = step.scored.rows(count, item.shape[0]), step.scored.score
        if self.config.score == FLIP:
            scored, mask = self._apart(state, segment), segment.good
            given = scored.score
        kept, slots = self._selected(state, slots, segment, scored, uses=1)
        metrics = {"mean_score": mean(given, mask), **_metrics(slots, kept)}
        return Replayed(step, _state_of(slots), metrics)

    def _select_first(self, state: Tensors, segment: Segment) -> Replayed:
        """The next buffer is selected first; the mini-batch is drawn from it."""
        scored = None
        if self.config.scored or self.config.buffer_policy == MIN_RED:
            scored = self._apart(state, segment)
        slots = self._slots(state)
        kept, slots = self._selected(state, slots, segment, scored, uses=0)
        slots, drawn = self._drawn(state, slots, segment)
        item = tf.gather(slots.item, drawn.places)
        step = self.siamese.step(state, item, drawn.mask)
        slots = self._scored_again(slots, drawn, step.scored)
        given, mask = step.scored.score, drawn.mask
        if self.config.scored:
            given, mask = scored.score, segment.good
        metrics = {"mean_score": mean(given, mask), **_metrics(slots, kept)}
        return Replayed(step, _state_of(slots), metrics)

    def _apart(self, state: Tensors, segment: Segment) -> Scored:
        return self.siamese.apart(state, segment.item, segment.good)

    def _slots(self, state: Tensors) -> Slots:
        """Returns the buffer, its scores made anew where that is due."""
        slots = Slots(**{field: state.get(name) for field, name in NAMES.items()})
        if not self.config.rescore_every:
            return slots
        due = tf.equal(state["step"] % self.config.rescore_every, 0)
        fresh = tf.cond(
            tf.reshape(due, []),
            lambda: self.siamese.apart(state, slots.item, slots.filled).score,
            lambda: slots.score + 0.0,
        )
        return buffer.rescored(slots, fresh, tf.cast(due, tf.float32))

    def _drawn(
        self, state: Tensors, slots: Slots, segment: Segment
    ) -> tuple[Slots, Draw]:
        """Returns (the slots, those that are drawn used once more; the draw)."""
        uniform = self._uniform(state, "draw", self.capacity)
        count = self.drawn_beside(segment.good.shape[0])
        if self.config.draw_by_score:
            drawn = buffer.draw_by_score(slots.score, slots.filled, uniform, count)
        else:
            drawn = buffer.draw(slots.filled, uniform, count)
        return buffer.used(slots, drawn), drawn

    def _scored_again(self, slots: Slots, drawn: Draw, scored: Scored) -> Slots:
        """Returns the slots, what is known of drawn items moved towards the new."""
        embedding, score = slots.embedding, slots.score
        if embedding is not None:
            fresh = scored.embedding
            embedding = buffer.moved(embedding, fresh, drawn, EMBEDDING_RHO)
        if self.config.score != FLIP and self.config.buffer_policy != RESERVOIR:
            score = buffer.moved(score, scored.score, drawn, self.config.rho)
        return dataclasses.replace(slots, score=score, embedding=embedding)

    def _selected(
        self,
        state: Tensors,
        slots: Slots,
        segment: Segment,
        scored: Scored | None,
        uses: int,
    ) -> tuple[tf.Tensor, Slots]:
        """Returns (which candidates are kept, [N]; the next buffer)."""
        count = segment.good.shape[0]
        score = tf.zeros_like(segment.good) if scored is None else scored.score
        if self.config.buffer_policy == RESERVOIR:
            score = self._uniform(state, "reservoir", count)
        # Good rows are numbered without gaps.
        number = tf.cumsum(tf.cast(segment.good, tf.int32), exclusive=True)
        new = Slots(
            segment.item,
            score,
            state[ARRIVED] + number,
            tf.fill([count], uses),
            segment.good,
            None if slots.embedding is None else scored.embedding,
        )
        candidates = buffer.joined(slots, new)
        if self.config.max_uses:
            stays = tf.cast(candidates.uses < self.config.max_uses, tf.float32)
            filled = candidates.filled * stays
            candidates = dataclasses.replace(candidates, filled=filled)
        policy = policies.find(self.config.buffer_policy)
        uniform = self._uniform(state, "policy", len(candidates))
        kept = policy(candidates, self.capacity, uniform)
        return kept, buffer.taken(candidates, kept)

    def _uniform(self, state: Tensors, name: str, count: int) -> tf.Tensor:
        return random.uniform(state["random"], [count], self.salts[name])


def mean(value: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns [1] float32: the mean of the rows that count, 0 without any."""
    total = tf.reduce_sum(mask, keepdims=True)
    return tf.reduce_sum(value * mask, keepdims=True) / tf.maximum(total, 1.0)


def _state_of(slots: Slots) -> dict[str, tf.Tensor]:
    found = {name: getattr(slots, field) for field, name in NAMES.items()}
    return {name: value for name, value in found.items() if value is not None}


def _metrics(slots: Slots, kept: tf.Tensor) -> dict[str, tf.Tensor]:
    filled = tf.reduce_sum(slots.filled, keepdims=True)
    return {
        "buffer_filled": tf.cast(filled, tf.int32),
        "buffer_replaced": buffer.replaced(kept, slots.filled),
    }
