"""A contrastive step in Keras and Python loops: what an artifact is compared with.

Only the uniform numbers are the graph's. Views are made in NumPy, the net and its
gradients are Keras', the loss is a cross-entropy of TensorFlow's, and the buffer is a
list that is sorted.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl import contract
from tflite_odl.builtin import random
from tflite_odl.contract.names import CLASSIFY, ENROLL
from tflite_odl.methods.contrastive.config import FLIP, NT_XENT, ONLY, RESERVOIR
from tflite_odl.proof.proof import Answer, Arrays
from tflite_odl.proof.references import replay
from tflite_odl.proof.references.augment import augmented
from tflite_odl.proof.references.enrolled import Shelf
from tflite_odl.proof.references.replay import Item
from tflite_odl.proof.references.supervised import KerasReference, as_arrays
from tflite_odl.reading.encoder import HIDDEN

# Share of an old embedding that is left when its item is seen again.
EMBEDDING_RHO = 0.5
# Added to the squared length of a vector before it is divided by.
SMALLEST_SQUARE = 1e-12


@dataclasses.dataclass(frozen=True)
class Learned:
    """A mini-batch learned from: the answer so far, each item's score and embedding."""

    answer: Answer
    score: np.ndarray
    embedding: np.ndarray


class ContrastiveReference(KerasReference):
    """`contrastive` by Keras.

    Args:
      method: a `Contrastive`.
      dtype: "float32" or "float64".
    """

    def __init__(self, method, dtype: str) -> None:
        super().__init__(method, dtype)
        reads = self.model.get_layer(HIDDEN).input
        self.embedder = tf_keras.Model(self.model.inputs, reads)
        self.family = method.siamese.views[0].family
        self.name = method.features[0].name

    def make_loss(self) -> None:
        """Contrast needs no labels."""

    def call(self, signature: str, state: Arrays, inputs: Arrays) -> Answer:
        self._load(state)
        if signature == contract.TRAIN:
            return self._train(state, inputs)
        if signature == contract.INFER:
            return Answer({"embedding": self._embedded(inputs[self.name])}, state)
        shelf = Shelf(state, self.config.neighbours)
        if signature == CLASSIFY:
            label, similarity = shelf.tell(self._embedded(inputs[self.name]))
            outputs = {"label": label, "similarity": similarity}
            return Answer(outputs, state, np.array(shelf.margins))
        if signature == contract.EVALUATE:
            return self._evaluate(state, inputs, shelf)
        return self._shelve(signature, state, inputs, shelf)

    def _evaluate(self, state: Arrays, inputs: Arrays, shelf: Shelf) -> Answer:
        rows = np.flatnonzero(self._good(inputs) & self._valid(inputs["y"]))
        label, similarity = shelf.tell(self._embedded(inputs[self.name][rows]))
        told = label >= 0
        outputs = {
            "similarity": similarity[told].mean() if told.any() else 0.0,
            "correct": int((label == inputs["y"][rows])[told].sum()),
            "count": int(told.sum()),
        }
        return Answer(as_arrays(outputs), state, np.array(shelf.margins))

    def _shelve(
        self, signature: str, state: Arrays, inputs: Arrays, shelf: Shelf
    ) -> Answer:
        """Returns what enroll or refresh does."""
        outputs = {"accepted": 1}
        if signature == ENROLL:
            good = self._good(inputs) & self._valid(inputs["y"])
            for row in np.flatnonzero(good):
                shelf.put(inputs[self.name][row], inputs["y"][row])
            outputs["rejected_rows"] = int(inputs["count"][0] - good.sum())
        outputs["enrolled"] = shelf.count
        after = {**state, **shelf.state()}
        after["enrolled_embeddings"] = self._embedded(after["enrolled_items"])
        return Answer(as_arrays(outputs), after)

    def _valid(self, y: np.ndarray) -> np.ndarray:
        classes = len(self.method.classes)
        return (y >= 0) & ((y < classes) if classes else True)

    def _good(self, inputs: Arrays) -> np.ndarray:
        """Returns [B] bool: the rows that count."""
        raw = inputs[self.name]
        good = np.arange(len(raw)) < inputs["count"][0]
        (x,) = self._preprocess({self.name: raw})
        with np.errstate(invalid="ignore"):
            inside = np.abs(x.reshape(len(x), -1)) <= self.config.feature_limit
        return good & inside.all(1)

    def _embedded(self, raw: np.ndarray) -> np.ndarray:
        """Returns [N, D], of unit length."""
        if not len(raw):
            return np.zeros((0, self.embedder.output.shape[-1]), self.dtype)
        (x,) = self._preprocess({self.name: raw})
        return _unit(self.embedder(x, training=False)).numpy()

    def _train(self, state: Arrays, inputs: Arrays) -> Answer:
        config, margins = self.config, []
        good = self._good(inputs)
        new = self._new(state, inputs[self.name], good)
        rejected = int(inputs["count"][0] - good.sum())
        if not self.method.replay.capacity:
            rows = [k for k, item in enumerate(new) if item.filled]
            learned = self._learn(state, rejected, new, rows, len(new))
            outputs = {"mean_score": learned.score.mean()}
            return self._answer(state, learned.answer, outputs, {}, new, margins)
        slots = self._buffered(state)
        if config.rescore_every and state["step"][0] % config.rescore_every == 0:
            self._rescore(state, slots)
        count = self.method.replay.drawn_beside(len(good))
        if config.minibatch == ONLY:
            if config.scored or config.buffer_policy == "min_red":
                self._score_apart(state, new)
            slots = self._selected(state, slots, new, margins)
        batch = [slots[place] for place in self._drawn(state, slots, count, margins)]
        for item in batch:
            item.uses += 1
        repeated, rows = len(batch), list(range(len(batch)))
        if config.minibatch != ONLY:
            rows += [count + k for k, item in enumerate(new) if item.filled]
            batch += [item for item in new if item.filled]
            if config.score == FLIP:
                self._score_apart(state, new)
        total = count + (len(new) if config.minibatch != ONLY else 0)
        learned = self._learn(state, rejected, batch, rows, total)
        scores = list(learned.score)
        self._score_again(batch[:repeated], learned)
        if config.minibatch != ONLY:
            if config.score != FLIP:
                self._score_new(batch[repeated:], learned, repeated)
            slots = self._selected(state, slots, new, margins)
        if config.score == FLIP or (config.minibatch == ONLY and config.scored):
            scores = self.apart
        outputs = {
            "mean_score": float(np.mean(scores)),
            "buffer_filled": sum(slot.filled for slot in slots),
            "buffer_replaced": sum(
                slot.filled and any(slot is item for item in new) for slot in slots
            ),
        }
        kept = self._state_of(slots, state)
        return self._answer(state, learned.answer, outputs, kept, new, margins)

    def _answer(self, state, answer: Answer, outputs, kept, new, margins) -> Answer:
        arrived = state["arrived"] + sum(item.filled for item in new)
        return Answer(
            {**answer.outputs, **as_arrays(outputs)},
            {**answer.state, **kept, "arrived": arrived},
            np.array(margins),
            answer.gradients,
        )

    def _new(self, state: Arrays, raw: np.ndarray, good: np.ndarray) -> list[Item]:
        """Returns the rows of the segment, numbered as they came."""
        number = state["arrived"][0] + np.cumsum(good) - good
        size, uses = self.config.projection, int(self.config.minibatch != ONLY)
        return [
            Item(raw[k], 0.0, int(number[k]), uses, np.zeros(size), bool(good[k]))
            for k in range(len(raw))
        ]

    def _buffered(self, state: Arrays) -> list[Item]:
        embeddings = state.get(
            "buffer_embeddings", [None] * self.method.replay.capacity
        )
        fields = ("items", "scores", "arrivals", "uses")
        found = zip(*(state[f"buffer_{name}"] for name in fields))
        return [
            Item(item, self._float(score), int(arrival), int(uses), embedding, flag > 0)
            for (item, score, arrival, uses), embedding, flag in zip(
                found, embeddings, state["buffer_flags"], strict=True
            )
        ]

    def _state_of(self, slots: list[Item], state: Arrays) -> dict[str, np.ndarray]:
        found = {
            "buffer_items": np.stack([slot.item for slot in slots]),
            "buffer_scores": np.array([slot.score for slot in slots]),
            "buffer_arrivals": np.int32([slot.arrival for slot in slots]),
            "buffer_uses": np.int32([slot.uses for slot in slots]),
            "buffer_flags": np.float32([slot.filled for slot in slots]),
        }
        if "buffer_embeddings" in state:
            found["buffer_embeddings"] = np.stack([slot.embedding for slot in slots])
        return found

    def _float(self, value) -> np.floating:
        return np.dtype(self.dtype).type(value)

    def _uniform(self, state: Arrays, name: str, count: int) -> np.ndarray:
        salt = self.method.replay.salts[name]
        return random.uniform(tf.constant(state["random"]), [count], salt).numpy()

    def _drawn(self, state, slots, count: int, margins: list[float]) -> list[int]:
        uniform = self._uniform(state, "draw", len(slots))
        if self.config.draw_by_score:
            return replay.drawn_by_score(slots, uniform, count, margins)
        return replay.drawn(slots, uniform, count)

    def _selected(self, state, slots, new, margins: list[float]) -> list[Item]:
        if self.config.buffer_policy == RESERVOIR:
            numbers = self._uniform(state, "reservoir", len(new))
            for item, number in zip(new, numbers, strict=True):
                item.score, item.exact = self._float(number), True
        candidates = [*slots, *new]
        uniform = self._uniform(state, "policy", len(candidates))
        if self.config.max_uses:
            for item in candidates:
                item.filled = item.filled and item.uses < self.config.max_uses
        policy, size = self.config.buffer_policy, len(slots)
        return replay.selected(policy, candidates, size, uniform, margins)

    def _learn(
        self,
        state: Arrays,
        rejected: int,
        batch: list[Item],
        rows: list[int],
        total: int,
    ) -> Learned:
        """Returns what the items come to, each in its row of a mini-batch."""
        items = np.stack([item.item for item in batch if item.filled])
        views = [
            augmented(items, self._draws(state, view, rows, total), self.family, d)
            for view in self.method.siamese.views
            for d in [self.dtype]
        ]
        (x,) = self._preprocess({self.name: np.concatenate(views)})
        counts = np.zeros(total, bool)
        counts[rows] = True
        self.drawn.set(state["random"], np.concatenate([counts, counts]))
        tau = float(state["tau"][0])
        with tf.GradientTape() as tape:
            tape.watch(self.learning)
            z = _unit(self._run([x], training=True))
            terms = _terms(z, tau)
            loss = tf.reduce_mean(terms)
        gradients = tape.gradient(loss, self.learning)
        answer = self.stepped(state, float(loss), rejected, gradients)
        first, second = np.split(z.numpy(), 2)
        score = self._score(first, second, terms.numpy())
        return Learned(answer, score, (first + second) / 2)

    def _draws(self, state: Arrays, view, rows: list[int], total: int) -> dict:
        """Returns the numbers that the graph draws for some rows of a mini-batch."""
        shape = (total, *self.method.features[0].shape)
        found = view.draw(tf.constant(state["random"]), shape)
        return {name: value.numpy()[rows] for name, value in found.items()}

    def _score(self, first, second, terms: np.ndarray) -> np.ndarray:
        if self.config.score == NT_XENT:
            return np.stack(np.split(terms, 2)).mean(0)
        return 1 - (first * second).sum(1)

    def _score_again(self, batch: list[Item], learned: Learned) -> None:
        """Moves what is known of drawn items towards the new."""
        rho, config = self.config.rho, self.config
        for item, score, embedding in zip(batch, learned.score, learned.embedding):
            if config.score != FLIP and config.buffer_policy != RESERVOIR:
                item.score = rho * item.score + (1 - rho) * score
                item.exact = False
            if item.embedding is not None:
                old = EMBEDDING_RHO * item.embedding
                item.embedding = old + (1 - EMBEDDING_RHO) * embedding

    def _score_new(self, batch: list[Item], learned: Learned, first: int):
        for k, item in enumerate(batch):
            item.score, item.exact = learned.score[first + k], False
            item.embedding = learned.embedding[first + k]

    def _score_apart(self, state: Arrays, items: list[Item]) -> None:
        """Scores items by a forward pass of their own, in inference."""
        rows = [k for k, item in enumerate(items) if item.filled]
        chosen = [items[k] for k in rows]
        raw = np.stack([item.item for item in chosen]).astype(self.dtype)
        if self.config.score == FLIP:
            views = [raw, raw[:, :, ::-1] if raw.ndim == 4 else raw[:, ::-1]]
        else:
            views = [
                augmented(
                    raw,
                    self._draws(state, view, rows, len(items)),
                    self.family,
                    self.dtype,
                )
                for view in self.method.siamese.views
            ]
        (x,) = self._preprocess({self.name: np.concatenate(views)})
        z = _unit(self._run([x], training=False))
        terms = _terms(z, float(state["tau"][0])).numpy()
        first, second = np.split(z.numpy(), 2)
        self.apart = self._score(first, second, terms)
        for item, score, embedding in zip(chosen, self.apart, (first + second) / 2):
            item.score, item.exact, item.embedding = score, False, embedding

    def _rescore(self, state: Arrays, slots: list[Item]) -> None:
        if any(slot.filled for slot in slots):
            kept = [slot.embedding for slot in slots]
            self._score_apart(state, slots)
            for slot, embedding in zip(slots, kept, strict=True):
                slot.embedding = embedding


def _unit(u: tf.Tensor) -> tf.Tensor:
    square = tf.reduce_sum(u * u, 1, keepdims=True)
    return u / tf.sqrt(square + SMALLEST_SQUARE)


def _terms(z: tf.Tensor, tau: float) -> tf.Tensor:
    """Returns [2 m]: each view's cross-entropy of telling its partner from others."""
    rows = z.shape[0]
    itself = tf.eye(rows, dtype=z.dtype) * 1e9
    logits = tf.matmul(z, z, transpose_b=True) / tau - itself
    partner = np.roll(np.arange(rows), rows // 2)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(partner, logits)
