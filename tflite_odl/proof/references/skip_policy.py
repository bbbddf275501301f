"""Every policy's choices in Python loops, row by row, for the reference."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from tflite_odl.builtin import random
from tflite_odl.methods.skip.baselines import KEEP, KEEP_SKIPPED, SMALLEST_DRAW
from tflite_odl.proof.proof import Arrays


class ReferencePolicy:
    """One step's choices, row by row.

    Args:
      method: its configuration is followed.
      state: before the step.
      places: [n] where in the batch the rows stand.
      p: [n, C] probabilities.
      y: [n] labels, -1 = unlabelled.
    """

    def __init__(self, method, state: Arrays, places, p, y) -> None:
        self.config, self.state, self.places, self.y = method.config, state, places, y
        self.salts = method.salts
        largest = self.config.confidence == "max"
        self.c = [max(p[i]) if largest else p[i][y[i]] for i in range(len(y))]
        self.rows = [i for i in range(len(y)) if y[i] >= 0]
        self.margins: list[float] = []

    def weights(self, losses: np.ndarray) -> np.ndarray:
        """Returns [n]: each row's weight, 0 where it is skipped."""
        config, step = self.config, self.state["step"][0]
        weights = getattr(self, f"_{config.policy}")(losses)
        if config.keep_skipped:
            drawn = self._draw(KEEP_SKIPPED) < np.float32(config.keep_skipped)
            weights[(weights == 0) & drawn] = 1 / config.keep_skipped
        end = config.full_from
        if step < config.warm_up or (end is not None and step >= end):
            weights[:] = 1
        weights[self.y < 0] = 0
        return weights

    def _draw(self, name: str) -> np.ndarray:
        size = max(self.places) + 1
        state = tf.constant(self.state["random"])
        drawn = random.uniform(state, [size], self.salts(name))
        return drawn.numpy()[self.places]

    def _interval(self, confidence: float) -> int:
        """Returns k, and notes how far the confidence is from both edges.

        In distances to certainty, with which what rounds the logits shrinks; from .95
        on absolute, as a rounding near 1 does not.
        """
        n, k = self.config.intervals, 0
        while k + 1 < n and confidence >= self._edge(k + 1):
            k += 1
        for edge in [self._edge(i) for i in (k, k + 1) if 0 < i < n]:
            self.margins.append((confidence - edge) / max(1 - edge, 0.05))
        return k

    def _edge(self, k: int) -> float:
        n = self.config.intervals
        if self.config.spacing == "uniform" or k == n:
            return k / n
        distance = 1.0
        for _ in range(k):
            distance *= 2 ** (-14 / (n - 1))
        return 1 - distance

    def _middle(self, k: int) -> float:
        return (self._edge(k) + self._edge(k + 1)) / 2

    def _threshold(self, losses: np.ndarray) -> np.ndarray:
        cut = self.state["threshold_interval"][0]
        return np.array([float(self._interval(c) < cut) for c in self.c])

    def _full(self, losses: np.ndarray) -> np.ndarray:
        return np.ones(len(self.y))

    def _fixed(self, losses: np.ndarray) -> np.ndarray:
        theta = self.state["fixed_threshold"][0]
        self.margins += [self.c[i] - theta for i in self.rows]
        return np.array([float(c < theta) for c in self.c])

    def _random(self, losses: np.ndarray) -> np.ndarray:
        return (self._draw(KEEP) >= self.state["skip_rate"]).astype(float)

    def _selective(self, losses: np.ndarray) -> np.ndarray:
        share = 1.0 - float(self.state["skip_rate"][0])
        ascending = sorted(self.rows, key=lambda i: losses[i])
        ordered = losses[ascending]
        self.margins += list(np.diff(ordered))
        drawn, keys = self._draw(KEEP).astype(np.float64), {}
        for place, i in enumerate(ascending):
            likely = ((place + 0.5) / len(ascending)) ** (1 / share - 1)
            keys[i] = math.log(max(drawn[i], SMALLEST_DRAW)) / likely
        best = sorted(self.rows, key=lambda i: -keys[i])
        wanted, kept = math.floor(len(best) * share + 0.5), np.zeros(len(self.y))
        kept[best[:wanted]] = 1
        if 0 < wanted < len(best):
            self.margins.append(keys[best[wanted - 1]] / keys[best[wanted]] - 1)
        return kept

    def _infobatch(self, losses: np.ndarray) -> np.ndarray:
        rate, mean = self.state["skip_rate"][0], losses[self.rows].mean()
        self.margins += [losses[i] - mean for i in self.rows]
        drawn, weights = self._draw(KEEP), np.ones(len(self.y))
        for i in self.rows:
            if losses[i] < mean:
                weights[i] = 1 / (1 - float(rate)) if drawn[i] >= rate else 0
        return weights

    def probed(self, state: Arrays) -> int:
        """Returns the first row of the lowest interval, in odd steps of the highest."""
        pick = max if state["step"][0] % 2 else min
        return pick(self.rows, key=lambda i: self._interval(self.c[i]))

    def counters(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        kept = int((weights > 0).sum())
        skipped = np.int32(len(self.rows) - kept)
        return {"skipped_total": self.state["skipped_total"] + skipped}

    def threshold(self, measured: list[int], sizes: list[float]) -> dict:
        """Returns the threshold's state, decided anew where the period ends."""
        state = self.state
        counts = state["confidence_counts"].copy()
        sums = state["gradient_sums"].astype(np.float64)
        probes = "gradient_counts" in state
        samples = state["gradient_counts"].copy() if probes else counts
        for i in self.rows:
            counts[self._interval(self.c[i])] += 1
        for i, size in zip(measured, sizes, strict=True):
            sums[self._interval(self.c[i])] += size
            if probes:
                samples[self._interval(self.c[i])] += 1
        news = {
            "confidence_counts": counts,
            "gradient_sums": sums,
            "period_steps": state["period_steps"] + 1,
        }
        if probes:
            news["gradient_counts"] = samples
        if news["period_steps"][0] < np.round(state["update_period"][0]):
            return news
        j, rse = self._decide(counts, sums, samples)
        zeros = {name: np.zeros_like(value) for name, value in news.items()}
        decided = {"threshold_interval": np.array([j], np.int32)}
        return {**zeros, **decided, "estimated_rse": np.array([rse])}

    def outputs(self, after: Arrays) -> dict[str, float]:
        """Returns what train returns of the policy, after the step."""
        if self.config.policy != "threshold":
            return {}
        return {
            "threshold": self._edge(int(after["threshold_interval"][0])),
            "estimated_rse": float(after["estimated_rse"][0]),
        }

    def _decide(self, counts, sums, samples) -> tuple[int, float]:
        n, bound = self.config.intervals, float(self.state["error_bound"][0])
        occupied = [k for k in range(n) if samples[k]]
        low, high = occupied[0], occupied[-1]
        g_low, g_high = sums[low] / samples[low], sums[high] / samples[high]
        g = []
        for k in range(n):
            inside = self._middle(min(max(k, low), high)) - self._middle(low)
            whole = self._middle(high) - self._middle(low)
            g.append(g_low + (g_high - g_low) * (inside / whole if inside else 0))
        top = max(k for k in range(n) if counts[k])
        mass = sum(counts[k] * g[k] for k in range(n))
        energy = sum(counts[k] * g[k] ** 2 for k in range(n))
        for j in range(top + 1):
            lost = sum(counts[k] * g[k] for k in range(j, n)) / mass
            lost_energy = sum(counts[k] * g[k] ** 2 for k in range(j, n)) / energy
            rse = self.config.kappa * max(lost**2, lost_energy)
            self.margins.append((rse - bound) / max(bound, 1e-30) if bound else 1.0)
            if rse < bound:
                return j, rse
        return n, 0.0
