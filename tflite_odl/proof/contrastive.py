"""The proof of `contrastive`: each filling of its buffer, choices with a margin."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tflite_odl import contract
from tflite_odl.contract import UNLABELLED
from tflite_odl.contract.names import CLASSIFY, ENROLL, REFRESH
from tflite_odl.proof import batches
from tflite_odl.proof.apart import spread
from tflite_odl.proof.batches import Sample
from tflite_odl.proof.calm import calm
from tflite_odl.proof.proof import (
    FULL,
    PADDED,
    SPOILED,
    Arrays,
    Rejected,
    Shapes,
    Trial,
)
from tflite_odl.proof.references.contrastive import ContrastiveReference
from tflite_odl.proof.supervised import SupervisedProof, given, loud, put

Change = Callable[[Arrays], Arrays]
# Labels of rows and of enrolled items in the trials.
CLASSES = 3
ASKED = (contract.INFER, CLASSIFY, contract.EVALUATE)
# Rows by which projections are spread.
SPREAD_BY = 32
# Of the calm step: a low temperature multiplies what similarities are off by, and they
# are differences, of which rows that are nearly alike leave few digits.
CALM_TAU, CALM_SPREAD = 1.0, 0.25
# Items that came before those of the trials.
ARRIVED = 1000


class ContrastiveProof(SupervisedProof):
    """Args: method, what is proven; sample, (x, y) rows to prove it with."""

    chooses = True

    def __init__(self, method, sample: Sample | None = None) -> None:
        self.method, self.batches = method, self
        self.sample = None
        if sample is not None:
            self.sample = batches.checked(method, (sample[0], _classes(sample)))["x"]

    def reference(self, dtype: str) -> ContrastiveReference:
        return ContrastiveReference(self.method, dtype)

    def trials(self, batch_size: int) -> Sequence[Trial]:
        """Returns trials of a buffer that is half filled, full and empty, with equal
        scores, with items at the end of their uses, and where scores are made anew; of
        few labels, none, and more than there is room for; and the calm step."""
        padded, spoiled = (PADDED, SPOILED) if batch_size > 1 else (FULL, FULL)
        steps, train = self._steps(), (contract.TRAIN,)
        spoils = range(1, self.spoils(batch_size))
        return [
            Trial(
                FULL,
                (*ASKED, REFRESH, ENROLL, contract.TRAIN),
                changes=self._at(steps[0], 0.5, 0.5),
            ),
            Trial(
                padded,
                (contract.EVALUATE, ENROLL, contract.TRAIN),
                changes=self._at(steps[1], 1.0, 1.0),
            ),
            Trial(
                spoiled,
                (*ASKED, ENROLL, contract.TRAIN),
                changes=self._at(steps[2], 0.0, 0.0),
            ),
            *(
                Trial(
                    SPOILED,
                    (ENROLL, contract.TRAIN),
                    spoil=part,
                    changes=self._at(None, 0.5, 0.5),
                    carried=False,
                )
                for part in spoils
            ),
            Trial(FULL, train, changes=self._tied, carried=False),
            *self._loud(self.calm),
        ]

    def _at(self, step: int | None, filled: float, enrolled: float) -> Change:
        """Returns a change: the step's number, shares of slots that are taken."""
        placed = put({"step": step})

        def change(state: Arrays) -> Arrays:
            kept = self._kept(state, filled) if self.method.replay.capacity else {}
            labelled = self._labelled(state, enrolled)
            return {**placed(state), **self._apart(state), **kept, **labelled}

        return change

    def calm(self, state: Arrays) -> Arrays:
        graph, size = self.method.network.graph, self._input_size()
        changes = {**calm(graph, state, size, CALM_SPREAD), **loud(state)}
        changes["tau"] = np.array([CALM_TAU], np.float32)
        return {**changes, **self._apart({**state, **changes}, calm=True)}

    def _apart(self, state: Arrays, calm: bool = False) -> Arrays:
        return spread(self.method, state, self._items(SPREAD_BY, 5), calm)

    def _kept(self, state: Arrays, share: float) -> Arrays:
        """Returns a buffer with distinct scores; what is not filled is not zeros."""
        size, rng = self.method.replay.capacity, np.random.default_rng(1)
        filled = rng.permutation(size) < round(share * size)
        # Where scores are likely to fall, and apart from each other.
        scores = (rng.permutation(size) + rng.uniform(0.3, 0.7, size)) / size
        changes = {
            "buffer_items": self._items(size, 2),
            "buffer_scores": scores.astype(np.float32),
            "buffer_arrivals": (ARRIVED - 1 - rng.permutation(size)).astype(np.int32),
            "buffer_uses": rng.integers(1, self._most_uses(), size).astype(np.int32),
            "buffer_flags": filled.astype(np.float32),
            "arrived": np.array([ARRIVED], np.int32),
        }
        if "buffer_embeddings" in state:
            embeddings = rng.normal(size=state["buffer_embeddings"].shape)
            changes["buffer_embeddings"] = embeddings.astype(np.float32)
        return changes

    def _most_uses(self) -> int:
        return self.method.config.max_uses or 4

    def _tied(self, state: Arrays) -> Arrays:
        """Returns a buffer of two scores, each with two numbers of uses."""
        if not self.method.replay.capacity:
            return self._apart(state)
        changes = {**self._apart(state), **self._kept(state, 1.0)}
        place = np.arange(self.method.replay.capacity)
        return {
            **changes,
            # Half of them above whatever a new item scores: they all stay, in order.
            "buffer_scores": (place % 2 * 2.0 + 1.0).astype(np.float32),
            "buffer_uses": (place // 2 % 2 + 1).astype(np.int32),
        }

    def _labelled(self, state: Arrays, share: float) -> Arrays:
        """Returns enrolled items, of which one class has more than the others."""
        size, rng = self.method.config.enroll, np.random.default_rng(3)
        taken = rng.permutation(size) < round(share * size)
        label = np.maximum(rng.integers(-1, CLASSES, size), 0)
        embedding = rng.normal(size=state["enrolled_embeddings"].shape)
        embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
        arrival = np.where(taken, rng.permutation(size), -1)
        return {
            "enrolled_items": self._items(size, 4),
            "enrolled_labels": np.where(taken, label, UNLABELLED).astype(np.int32),
            "enrolled_arrivals": arrival.astype(np.int32),
            "enrolled_embeddings": embedding.astype(np.float32),
        }

    def _items(self, count: int, seed: int) -> np.ndarray:
        return self._rows(np.random.default_rng(seed), count)

    def _rows(self, rng: np.random.Generator, count: int) -> np.ndarray:
        if self.sample is None:
            return batches.random_rows(self.method.features[0], rng, count)
        order = rng.permutation(len(self.sample))
        return self.sample[np.resize(order, count)]

    def draw(
        self, trial: Trial, number: int, batch_size: int, attempt: int, seed: int
    ) -> Arrays:
        rng = np.random.default_rng([seed, number, attempt])
        y = np.random.default_rng([seed, number]).integers(0, CLASSES, batch_size)
        batch = {
            "x": self._rows(rng, batch_size),
            "y": y.astype(np.int32),
            "count": np.array([batch_size], np.int32),
            "unused": np.zeros(1, np.float32),
        }
        if trial.filling == PADDED:
            real = batch_size - max(1, batch_size // 4)
            batch["count"][0] = real
            batch["x"][real:] = 0
        if trial.filling == SPOILED:
            self._spoil(batch, trial.spoil)
        return batch

    def spoils(self, batch_size: int) -> int:
        """Returns how many batches it takes until every kind of bad row has come."""
        fitting = batch_size - 1
        return -(-len(self._bad_rows()) // fitting) if fitting else 0

    def _spoil(self, batch: Arrays, part: int) -> None:
        rows = len(batch["y"])
        kinds = self._bad_rows()[part * (rows - 1) :]
        for place, spoil in zip(range(rows - 1, 0, -1), kinds):
            spoil(batch, place)

    def _bad_rows(self) -> list[Callable[[Arrays, int], None]]:
        def no_label(batch: Arrays, row: int) -> None:
            batch["y"][row] = UNLABELLED

        def bad_label(batch: Arrays, row: int) -> None:
            batch["y"][row] = -2

        (part,) = self.method.features
        if part.preprocessing.dtype != "float32":
            return [no_label, bad_label]
        limit = self.method.config.feature_limit
        bad = batches.not_a_number(part.name), batches.too_far(part, limit)
        return [*bad, no_label, bad_label]

    def inputs(self, signature: str, batch: Arrays, shapes: Shapes) -> Arrays:
        if "count" in shapes or "unused" in shapes:
            return {name: batch[name] for name in shapes}
        return batches.taken(self.method, batch, shapes)

    def rejected(self, batch: Arrays) -> Sequence[Rejected]:
        """Returns calls with only padding, and of enroll with only bad labels."""
        x, y, count = batch["x"], batch["y"], batch["count"]
        nothing = {"accepted": np.zeros(1, np.int32)}
        none = {**nothing, "rejected_rows": np.zeros(1, np.int32)}
        every = {**nothing, "rejected_rows": count}
        padding = np.zeros_like(count)
        wrong = np.full_like(y, UNLABELLED)
        return [
            Rejected(contract.TRAIN, {"x": x, "count": padding}, none),
            Rejected(ENROLL, {"x": x, "y": y, "count": padding}, none),
            Rejected(ENROLL, {"x": x, "y": wrong, "count": count}, every),
        ]

    def given(self, signature: str, inputs: Arrays) -> Arrays:
        if signature != contract.INFER:
            return {}
        (embedding,) = given(self.method, inputs)
        length = np.linalg.norm(embedding, axis=1, keepdims=True)
        return {"embedding": embedding / np.maximum(length, 1e-12)}


def _classes(sample: Sample) -> np.ndarray:
    """Returns a class for each row of a sample, 0 where labels are no classes."""
    y = np.asarray(sample[1])
    return y if y.ndim == 1 and y.dtype.kind in "iu" else np.zeros(len(y), np.int32)
