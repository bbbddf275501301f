"""Enrolled items in Python loops: where one goes, what rows are told to be."""

from __future__ import annotations

import collections

import numpy as np

from tflite_odl.proof.proof import Arrays


class Shelf:
    """The enrolled items.

    Args:
      state: holds them.
      neighbours: that vote, 0 for the nearest mean.

    Attributes:
      margins: how far each choice was from falling the other way.
    """

    def __init__(self, state: Arrays, neighbours: int) -> None:
        self.item = state["enrolled_items"].copy()
        self.label = state["enrolled_labels"].copy()
        self.arrival = state["enrolled_arrivals"].copy()
        self.embedding = state["enrolled_embeddings"].astype(np.float64)
        self.neighbours = neighbours
        self.margins: list[float] = []

    @property
    def count(self) -> int:
        return int((self.label >= 0).sum())

    def state(self) -> dict[str, np.ndarray]:
        return {
            "enrolled_items": self.item,
            "enrolled_labels": self.label,
            "enrolled_arrivals": self.arrival,
        }

    def put(self, item: np.ndarray, label: int) -> None:
        """Takes an item in: an empty slot, else the oldest of the fullest class."""
        place = self._leaving()
        self.arrival[place] = self.arrival.max() + 1
        self.item[place], self.label[place] = item, label

    def _leaving(self) -> int:
        empty = np.flatnonzero(self.label < 0)
        if len(empty):
            return int(empty[0])
        sizes = collections.Counter(self.label.tolist())
        fullest = [
            k
            for k, label in enumerate(self.label.tolist())
            if sizes[label] == max(sizes.values())
        ]
        return min(fullest, key=lambda k: self.arrival[k])

    def tell(self, embedding: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns (labels [N] int32, similarities [N]) of rows [N, D]."""
        found = [self._tell(np.asarray(row, np.float64)) for row in embedding]
        labels = np.array([label for label, _ in found], np.int32)
        return labels, np.array([similarity for _, similarity in found])

    def _tell(self, row: np.ndarray) -> tuple[int, float]:
        if not self.count:
            return -1, 0.0
        return self._vote(row) if self.neighbours else self._nearest_mean(row)

    def _nearest_mean(self, row: np.ndarray) -> tuple[int, float]:
        cosines = {}
        for label in sorted({*self.label[self.label >= 0].tolist()}):
            mean = self.embedding[self.label == label].sum(0)
            cosines[label] = float(row @ mean / np.linalg.norm(mean))
        best, *others = sorted(cosines, key=cosines.get, reverse=True)
        if others:
            self.margins.append(cosines[best] - cosines[others[0]])
        return best, cosines[best]

    def _vote(self, row: np.ndarray) -> tuple[int, float]:
        taken = np.flatnonzero(self.label >= 0)
        cosine = self.embedding[taken] @ row
        order = np.argsort(-cosine, kind="stable")
        near = order[: self.neighbours]
        if len(order) > len(near):
            self.margins.append(float(cosine[near[-1]] - cosine[order[len(near)]]))
        votes: dict[int, float] = collections.defaultdict(float)
        for k in near:
            weight = 1 + cosine[k] / (4 * self.neighbours)
            votes[int(self.label[taken[k]])] += float(weight)
        best, *others = sorted(votes, key=votes.get, reverse=True)
        if others:
            self.margins.append(votes[best] - votes[others[0]])
        nearest = max(cosine[k] for k in near if self.label[taken[k]] == best)
        return best, float(nearest)
