"""The dynamic threshold on the prediction confidence, from its parts.

References: Shin, Kim, Jo, Park, "Prediction Confidence Based Low Complexity Gradient
Computation for Accelerating DNN Training", DAC 2020; IEEE TNNLS 33, 2022.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tflite_odl.methods.base import StateTensor, Tensors
from tflite_odl.methods.skip.config import SkipConfig
from tflite_odl.methods.skip.policy import Policy, Scores
from tflite_odl.methods.step import saturating

# Of the last geometric interval: a thousand roundings of a float32 just below 1.
LAST_WIDTH = 2.0**-14


def edges(spacing: str, intervals: int) -> np.ndarray:
    """Returns [N + 1]: interval k begins at edge k, the last one ends at edge N = 1.

    uniform: edge_k = k / N; geometric: edge_k = 1 - r^k, r^(N - 1) = LAST_WIDTH.
    """
    k = np.arange(intervals)
    if spacing == "geometric":
        return np.append(1.0 - LAST_WIDTH ** (k / (intervals - 1)), 1.0)
    return np.append(k / intervals, 1.0)


def middles(edges: np.ndarray) -> np.ndarray:
    """Returns [N]: halfway between edges, in the last geometric interval too."""
    return (edges[:-1] + edges[1:]) / 2


def interval(confidence: tf.Tensor, edges: np.ndarray) -> tf.Tensor:
    """Returns [B] int32, the interval k of each confidence; 1 belongs to the last.

    The edges that are reached are counted: floor(c N) rounds some confidences just
    below an edge up to it.
    """
    reached = confidence[:, tf.newaxis] >= tf.constant(edges[1:-1], tf.float32)
    return tf.cast(tf.reduce_sum(tf.cast(reached, tf.float32), 1), tf.int32)


def accumulate(k: tf.Tensor, values: tf.Tensor, intervals: int) -> tf.Tensor:
    """Returns [N]: the values, [B] float32, summed by interval (CF accumulation)."""
    member = tf.one_hot(k, intervals) * values[:, tf.newaxis]
    return tf.reduce_sum(member, 0)


def interpolate(sums: tf.Tensor, samples: tf.Tensor, middles: np.ndarray) -> tf.Tensor:
    """Returns G [N], linear in the confidence between the occupied ends.

    G_k = g_hi + (g_lo - g_hi) (d_k - d_hi) / (d_lo - d_hi) with d = 1 - middle, which
    loses no digits near certainty; constant beyond. Relative to the larger end, for its
    scale cancels in the error and its square could vanish.

    Args:
      sums: [N] float32, summed sizes of gradients.
      samples: [N] float32, how many were summed.
      middles: [N], of the intervals.
    """
    distance = tf.constant(1.0 - middles, tf.float32)
    occupied = samples > 0.0
    low = tf.reduce_max(tf.where(occupied, distance, 0.0), keepdims=True)
    high = tf.reduce_min(tf.where(occupied, distance, 1.0), keepdims=True)
    means = sums / tf.maximum(samples, 1.0)
    g_low = tf.reduce_sum(tf.where(tf.equal(distance, low), means, 0.0), keepdims=True)
    g_high = tf.reduce_sum(
        tf.where(tf.equal(distance, high), means, 0.0), keepdims=True
    )
    larger = tf.maximum(tf.maximum(g_low, g_high), 1e-30)
    share = (distance - high) / tf.maximum(low - high, 1e-30)
    share = tf.clip_by_value(share, 0.0, 1.0)
    return g_high / larger + (g_low - g_high) / larger * share


def relative_squared_error(
    counts: tf.Tensor, gradients: tf.Tensor, kappa: float
) -> tf.Tensor:
    """Returns RSE [N]: the error where all from interval j on are skipped.

    RSE(j) = kappa max((sum_{k>=j} n_k G_k / sum n_k G_k)^2,
                       sum_{k>=j} n_k G_k^2 / sum n_k G_k^2); kappa without gradients.

    Args:
      counts: n [N] float32.
      gradients: G [N] float32, at most 1.
      kappa: safety factor.
    """
    mass = tf.cumsum(counts * gradients, reverse=True)
    energy = tf.cumsum(counts * gradients * gradients, reverse=True)
    tiny = 1e-30
    lost = mass / tf.maximum(mass[:1], tiny)
    error = tf.maximum(lost * lost, energy / tf.maximum(energy[:1], tiny))
    return kappa * tf.where(energy[:1] > tiny, error, tf.ones_like(error))


def decide(
    counts: tf.Tensor, error: tf.Tensor, bound: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (j* [1] int32, its error [1]): threshold decision.

    j* is the smallest j, up to the highest occupied interval, with RSE(j) < bound; N
    (and the error 0) if there is none.
    """
    intervals = counts.shape[0]
    k = tf.range(intervals, dtype=tf.float32)
    top = tf.reduce_max(tf.where(counts > 0.0, k, -1.0), keepdims=True)
    fits = tf.logical_and(error < bound, k <= top)
    j = tf.reduce_min(tf.where(fits, k, float(intervals)), keepdims=True)
    found = tf.reduce_sum(tf.where(tf.equal(k, j), error, 0.0), keepdims=True)
    return tf.cast(j, tf.int32), found


@dataclasses.dataclass(frozen=True)
class Threshold(Policy):
    """Keeps rows below interval j*, which is decided anew every period."""

    config: SkipConfig

    def hyperparameters(self) -> dict[str, float]:
        config = self.config
        return {
            "error_bound": config.error_bound,
            "update_period": float(config.update_period),
        }

    def state_tensors(self) -> list[StateTensor]:
        of, intervals = StateTensor.of, self.config.intervals
        zeros = np.zeros(intervals)
        found = [
            of("confidence_counts", zeros.astype(np.int32), "counter", "by interval"),
            of("gradient_sums", zeros.astype(np.float32), "counter", "by interval"),
            of("period_steps", np.int32(0), "counter", "steps since the decision"),
            of(
                "threshold_interval",
                np.int32(intervals),
                "counter",
                "kept below it",
                between=(0, intervals),
            ),
            of("estimated_rse", np.float32(0), "counter", "of the last decision"),
        ]
        if self.probes:
            about = "gradients summed, by interval"
            found.append(
                of("gradient_counts", zeros.astype(np.int32), "counter", about)
            )
        return found

    @property
    def probes(self) -> bool:
        return self.config.gradient_ends == "probe"

    @property
    def edges(self) -> np.ndarray:
        return edges(self.config.spacing, self.config.intervals)

    def keep(self, state: Tensors, scores: Scores) -> tf.Tensor:
        k = interval(scores.confidence, self.edges)
        return tf.cast(k < state["threshold_interval"], tf.float32)

    def follow(self, state: Tensors, scores: Scores) -> tuple[dict, dict]:
        intervals = self.config.intervals
        k = interval(scores.confidence, self.edges)
        came = accumulate(k, scores.labelled, intervals)
        # In int32, for float32 would stop counting at 2^24.
        seen = saturating(state["confidence_counts"], tf.cast(came, tf.int32))
        counts = tf.cast(seen, tf.float32)
        measured = scores.measured
        sums = state["gradient_sums"]
        sums += accumulate(k, scores.gradients * measured, intervals)
        samples = counts
        if self.probes:
            came = accumulate(k, measured, intervals)
            probed = saturating(state["gradient_counts"], tf.cast(came, tf.int32))
            samples = tf.cast(probed, tf.float32)
        gradients = interpolate(sums, samples, middles(self.edges))
        error = relative_squared_error(counts, gradients, self.config.kappa)
        j, rse = decide(counts, error, state["error_bound"])
        steps = saturating(state["period_steps"], 1)
        due = tf.cast(steps, tf.float32) >= tf.round(state["update_period"])
        j = tf.where(due, j, state["threshold_interval"])
        rse = tf.where(due, rse, state["estimated_rse"])
        cleared = lambda value: tf.where(due, tf.zeros_like(value), value)  # noqa: E731
        news = {
            "confidence_counts": cleared(seen),
            "gradient_sums": cleared(sums),
            "period_steps": cleared(steps),
            "threshold_interval": j,
            "estimated_rse": rse,
        }
        if self.probes:
            news["gradient_counts"] = cleared(probed)
        metrics = {
            "threshold": tf.gather(tf.constant(self.edges, tf.float32), j),
            "estimated_rse": rse + 0.0,
        }
        return news, metrics
