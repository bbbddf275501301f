"""The linear probe: logistic regression of labels on embeddings, in NumPy."""

from __future__ import annotations

import dataclasses

import numpy as np

from tflite_odl.errors import DataError

# Strongest first: of equally good ones the strongest is chosen.
PENALTIES = 10.0 ** np.arange(1, -5, -1)
FOLDS = 5
# A feature that hardly moves among the rows seen must not outweigh all others in rows
# where it does: its deviation counts as this share of the features' typical one.
LEAST_DEVIATION = 0.1
# What the objective may lie above its minimum, in nats and by the bound's estimate.
TOLERANCE = 1e-7
MOST_STEPS = 20_000


@dataclasses.dataclass(frozen=True)
class LinearProbe:
    """Multinomial logistic regression on standardised embeddings.

    W, b = argmin (mean cross-entropy of softmax(X W + b)) + penalty / 2 |W|^2.

    Attributes:
      mean, deviation: [D] float64, of the embeddings it was fitted to.
      weights: [D, C] float64.
      offset: [C] float64.
      classes: [C], the label of each column.
      penalty: the one chosen.
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
        """Returns the probe fitted to rows.

        Its penalty has the least cross-entropy of left-out rows, a fifth of the groups
        at a time. A row whose class is in none of the other groups is not judged.

        Args:
          x: [N, D] float64, finite.
          y: [N] labels.
          group: [N], rows that are left out together, since each tells of the others
            as overlapping windows do; None: each by itself.
        """
        mean, deviation = x.mean(0), x.std(0)
        typical = np.sqrt((deviation**2).mean())
        deviation = np.maximum(deviation, LEAST_DEVIATION * typical)
        deviation = np.where(deviation > 0, deviation, 1.0)
        classes, column = np.unique(y, return_inverse=True)
        z = (x - mean) / deviation
        fold = folds(column, np.arange(len(y)) if group is None else group)
        lost = sum(_lost(z, column, fold == one) for one in np.unique(fold))
        best = int(np.argmin(lost))
        found = path(z, np.eye(len(classes))[column], PENALTIES[: best + 1])[-1]
        penalty = float(PENALTIES[best])
        return cls(mean, deviation, found[:-1], found[-1], classes, penalty)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Returns the label of each row, [N]."""
        scores = ((x - self.mean) / self.deviation) @ self.weights + self.offset
        return self.classes[scores.argmax(1)]


def folds(column: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Returns [N] int64 below `FOLDS`: groups dealt out in turn, class by class.

    Args:
      column: [N] the rows' classes.
      group: [N] of any integers; a group has the class of its first row.
    """
    _, first, member = np.unique(group, return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(column[first], kind="stable")] = np.arange(len(first))
    return place[member] % FOLDS


def path(x: np.ndarray, target: np.ndarray, penalties: np.ndarray) -> list[np.ndarray]:
    """Returns the minimum for each penalty, [D + 1, C]: weights, and last the offset.

    Args:
      x: [N, D] float64.
      target: [N, C] float64, the probability of each class.
      penalties: each starts where the one before ended, so strong ones come first.
    """
    extended = np.concatenate([x, np.ones((len(x), 1))], 1)
    found, at = [], np.zeros((extended.shape[1], target.shape[1]))
    for penalty in penalties:
        damped = np.full(len(at), penalty)
        damped[-1] = 0.0
        at = _minimum(extended, target, damped, at)
        found.append(at)
    return found


def _lost(z: np.ndarray, column: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Returns the summed cross-entropy of left-out rows, [len(PENALTIES)] float64."""
    known, seen = np.unique(column[~out], return_inverse=True)
    judged = np.flatnonzero(out & np.isin(column, known))
    if not len(judged):
        return np.zeros(len(PENALTIES))
    fitted = path(z[~out], np.eye(len(known))[seen], PENALTIES)
    right = np.searchsorted(known, column[judged])
    lost = []
    for solution in fitted:
        logits = z[judged] @ solution[:-1] + solution[-1]
        lost.append(-_log_softmax(logits)[np.arange(len(judged)), right].sum())
    return np.array(lost)


def _minimum(x, target, damped: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Returns the minimum, by Nesterov's steps under a fixed bound of the curvature.

    The second derivative is nowhere above X'X / 2N + diag(damped) for any class, so
    that steps by its inverse cannot overshoot.

    References: Boehning, 1992, doi 10.1007/BF00048682; O'Donoghue and Candes, 2015,
    doi 10.1007/s10208-013-9150-3 (when to start anew).
    """
    inverse = np.linalg.inv(x.T @ x / (2 * len(x)) + np.diag(damped))
    at, ahead, pace = start, start, 1.0
    for _ in range(MOST_STEPS):
        off = np.exp(_log_softmax(x @ ahead)) - target
        slope = x.T @ off / len(x) + damped[:, None] * ahead
        step = inverse @ slope
        if (slope * step).sum() < 2 * TOLERANCE:
            return ahead
        new = ahead - step
        if (slope * (new - at)).sum() > 0:
            pace = 1.0
        following = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        ahead = new + (pace - 1) / following * (new - at)
        at, pace = new, following
    raise DataError(f"a linear probe did not settle within {MOST_STEPS} steps")


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))
