"""What an embedding is worth, and what a buffer did: probes and figures in NumPy.

Embeddings come from `infer`; labels are used here alone, never in training.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tflite_odl.errors import DataError

NEIGHBOURS = 20
PENALTIES = 10.0 ** np.arange(-4, 3)


def few_labels(y: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Returns the rows whose labels a probe may see, ascending, [K] int64.

    The same share of each class, rounded, at least one row of each; unlabelled rows
    (-1) never.

    Args:
      y: [N] int32.
      share: above 0, up to 1.
      seed: of the choice.

    Raises:
      DataError: the share is none, or no row has a label.
    """
    if not 0 < share <= 1:
        raise DataError(f"a share of labels is above 0 and at most 1, got {share}")
    generator = np.random.Generator(np.random.Philox(key=[seed, 0]))
    chosen = []
    for label in np.unique(y[y >= 0]):
        rows = np.flatnonzero(y == label)
        count = max(1, round(share * len(rows)))
        chosen.append(generator.permutation(rows)[:count])
    if not chosen:
        raise DataError("no row has a label: a probe needs some")
    return np.sort(np.concatenate(chosen))


@dataclasses.dataclass(frozen=True)
class LinearProbe:
    """Ridge regression on one-hot labels, of standardised embeddings.

    Attributes:
      mean, deviation: [D] float64, of the embeddings it was fitted to.
      weights: [D, C] float64.
      offset: [C] float64.
      classes: [C], the label of each column.
      penalty: the one chosen, relative to the rows.
    """

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    offset: np.ndarray
    classes: np.ndarray
    penalty: float

    @classmethod
    def fit(
        cls, x: np.ndarray, y: np.ndarray, group: np.ndarray | None = None
    ) -> LinearProbe:
        """Returns the probe fitted to rows, its penalty chosen by leaving one out.

        W = argmin |X W - Y|^2 + penalty N |W|^2. The error of each group of rows with
        itself left out is in closed form, (I - H)^-1 (Y - X W), H its block of the hat
        matrix.

        Args:
          x: [N, D], finite.
          y: [N] labels.
          group: [N], rows that are left out together, since each tells of the others
            as overlapping windows do; None: each by itself.

        Raises:
          DataError: no rows, not equally many labels, or embeddings not finite.
        """
        x = _checked(x, y)
        mean, deviation = x.mean(0), x.std(0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        classes, column = np.unique(y, return_inverse=True)
        target = np.eye(len(classes))[column]
        offset = target.mean(0)
        u, s, vt = np.linalg.svd((x - mean) / deviation, full_matrices=False)
        found = []
        for penalty in PENALTIES:
            shrunk = s**2 / (s**2 + penalty * len(x))
            fitted = u @ (shrunk[:, None] * (u.T @ (target - offset))) + offset
            off = _left_out(u, shrunk, target - fitted, group)
            found.append((off**2).sum())
        penalty = float(PENALTIES[int(np.argmin(found))])
        gain = s / (s**2 + penalty * len(x))
        weights = vt.T @ (gain[:, None] * (u.T @ (target - offset)))
        return cls(mean, deviation, weights, offset, classes, penalty)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Returns the label of each row, [N]."""
        scores = ((x - self.mean) / self.deviation) @ self.weights + self.offset
        return self.classes[scores.argmax(1)]


def linear_probe(
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    share: float = 1.0,
    seed: int = 0,
    group: np.ndarray | None = None,
) -> float:
    """Returns the accuracy of a linear probe that saw a share of the labels, 0 to 1.

    Args:
      x_train, x_test: [N, D] embeddings.
      y_train, y_test: [N] int32, -1 = unlabelled, which counts nowhere.
      share, seed: see `few_labels`.
      group: [N] of the training rows, see `LinearProbe.fit`.
    """
    rows = few_labels(y_train, share, seed)
    of_rows = None if group is None else group[rows]
    probe = LinearProbe.fit(x_train[rows], y_train[rows], of_rows)
    return _accuracy(probe.predict, x_test, y_test)


def _left_out(u, shrunk, residual: np.ndarray, group) -> np.ndarray:
    """Returns what each row is off, [N, C], by a fit without its group."""
    if group is None:
        leverage = (u**2 * shrunk).sum(1) + 1 / len(u)
        return residual / np.maximum(1 - leverage, 1e-9)[:, None]
    off = np.empty_like(residual)
    for rows in (np.flatnonzero(group == one) for one in np.unique(group)):
        block = (u[rows] * shrunk) @ u[rows].T + 1 / len(u)
        kept = np.eye(len(rows)) * (1 + 1e-9) - block
        off[rows] = np.linalg.solve(kept, residual[rows])
    return off


def knn(
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    neighbours: int = NEIGHBOURS,
) -> float:
    """Returns the accuracy of a vote of the nearest labelled rows by cosine, 0 to 1.

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

    return _accuracy(predict, x_test, y_test)


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


def _accuracy(predict, x: np.ndarray, y: np.ndarray) -> float:
    known = y >= 0
    rows = _checked(x, y)[known]
    if not len(rows):
        raise DataError("no held-out row has a label")
    return float((predict(rows) == y[known]).mean())


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
