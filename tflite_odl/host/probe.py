"""What an embedding is worth, and what a buffer did: probes and figures in NumPy.

Embeddings come from `infer`; labels are used here alone, never in training.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tflite_odl.errors import DataError
from tflite_odl.host.linear_probe import LinearProbe

NEIGHBOURS = 20
# Of few labels, over which a linear probe's score is the mean.
DRAWS = 10


def few_labels(y: np.ndarray, share: float, seed: int, draw: int = 0) -> np.ndarray:
    """Returns the rows whose labels a probe may see, ascending, [K] int64.

    The same share of each class, rounded, at least one row of each; unlabelled rows
    (-1) never.

    Args:
      y: [N] int32.
      share: above 0, up to 1.
      seed, draw: of the choice.

    Raises:
      DataError: the share is none, or no row has a label.
    """
    if not 0 < share <= 1:
        raise DataError(f"a share of labels is above 0 and at most 1, got {share}")
    generator = np.random.Generator(np.random.Philox(key=[seed, draw]))
    chosen = []
    for label in np.unique(y[y >= 0]):
        rows = np.flatnonzero(y == label)
        count = max(1, round(share * len(rows)))
        chosen.append(generator.permutation(rows)[:count])
    if not chosen:
        raise DataError("no row has a label: a probe needs some")
    return np.sort(np.concatenate(chosen))


@dataclasses.dataclass(frozen=True)
class Score:
    """How often predictions of held-out rows are right, 0 to 1.

    Attributes:
      accuracy: of all rows.
      balanced: the mean over classes of the accuracy in each, so that a class of many
        rows weighs no more than a class of few.
    """

    accuracy: float
    balanced: float

    @classmethod
    def of(cls, predicted: np.ndarray, y: np.ndarray) -> Score:
        """Returns the score of labels [N] where `y` [N] is right."""
        right = predicted == y
        classes = [right[y == label].mean() for label in np.unique(y)]
        return cls(float(right.mean()), float(np.mean(classes)))


def linear_probe(
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    share: float = 1.0,
    seed: int = 0,
    group: np.ndarray | None = None,
) -> Score:
    """Returns the score of linear probes that saw a share of the labels.

    Which labels are seen matters as much as the embedding where held-out rows hang
    together, such as the windows of one person, which fall on one side of a boundary
    all at once. So several draws of labels are tried and the mean is told.

    Args:
      x_train, x_test: [N, D] embeddings.
      y_train, y_test: [N] int32, -1 = unlabelled, which counts nowhere.
      share: see `few_labels`; of 1 there is one draw.
      seed: of the draws.
      group: [N] of the training rows, see `LinearProbe.fit`.
    """
    x, (x_test, y_test) = _checked(x_train, y_train), _held_out(x_test, y_test)
    scores = []
    for draw in range(DRAWS if share < 1 else 1):
        rows = few_labels(y_train, share, seed, draw)
        of_rows = None if group is None else group[rows]
        probe = LinearProbe.fit(x[rows], y_train[rows], of_rows)
        scores.append(Score.of(probe.predict(x_test), y_test))
    return Score(
        float(np.mean([score.accuracy for score in scores])),
        float(np.mean([score.balanced for score in scores])),
    )


def knn(
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    neighbours: int = NEIGHBOURS,
) -> Score:
    """Returns the score of a vote of the nearest labelled rows by cosine.

    Of classes with equally many votes the one with the larger sum of cosines wins.
    """
    known = y_train >= 0
    train, labels = _unit(_checked(x_train, y_train)[known]), y_train[known]
    if not len(labels):
        raise DataError("no row has a label: a probe needs some")
    classes, column = np.unique(labels, return_inverse=True)
    count = min(neighbours, len(labels))

    def predict(x: np.ndarray) -> np.ndarray:
        cosine = _unit(x) @ train.T
        nearest = np.argsort(-cosine, 1, kind="stable")[:, :count]
        votes = np.zeros((len(x), len(classes)))
        # Cosines lie within -+1: all of them together weigh less than one vote.
        weight = 1 + np.take_along_axis(cosine, nearest, 1) / (4 * count)
        np.add.at(votes, (np.arange(len(x))[:, None], column[nearest]), weight)
        return classes[votes.argmax(1)]

    x_test, y_test = _held_out(x_test, y_test)
    return Score.of(predict(x_test), y_test)


@dataclasses.dataclass(frozen=True)
class Uses:
    """How evenly items were used.

    Attributes:
      never: items that were in no mini-batch.
      gini: 0 where all were used equally often, towards 1 where one had all uses.
      largest: uses of the item used most.
      histogram: [largest + 1] int64, items by uses.
    """

    never: int
    gini: float
    largest: int
    histogram: np.ndarray


def uses(counts: np.ndarray) -> Uses:
    """Returns the figures of how often each item of a stream was used, [N] integers.

    Gini = sum_i (2 i - N - 1) u_i / (N sum u), u ascending, i = 1 ... N; 0 where
    nothing was used.
    """
    counts = np.sort(np.asarray(counts, np.int64))
    if not len(counts) or counts[0] < 0:
        raise DataError("uses are counts of one item or more, none below 0")
    size, total = len(counts), int(counts.sum())
    place = 2 * np.arange(1, size + 1) - size - 1
    gini = float(place @ counts) / (size * total) if total else 0.0
    never = int((counts == 0).sum())
    return Uses(never, gini, int(counts[-1]), np.bincount(counts))


def class_entropy(y: np.ndarray) -> float:
    """Returns the entropy in bits of the classes of a buffer's items, [N] labels.

    Unlabelled ones (-1) do not count; 0 where nothing does.
    """
    counts = np.bincount(y[y >= 0])
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def _held_out(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows that have a label, and their labels."""
    known = y >= 0
    rows = _checked(x, y)[known]
    if not len(rows):
        raise DataError("no held-out row has a label")
    return rows, y[known]


def _checked(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or y.ndim != 1 or len(x) != len(y) or not len(x):
        raise DataError(
            f"a probe takes embeddings [N, D] and labels [N], got {list(x.shape)} and "
            f"{list(y.shape)}"
        )
    if not np.isfinite(x).all():
        raise DataError("embeddings are not all finite: look at the state's weights")
    return x


def _unit(x: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1.0)
