"""The skipping step in plain Keras and NumPy loops: what an artifact is compared with.

Nothing is packed here: the whole batch goes forward, skipped rows' losses weigh zero,
and each batch norm's gradient is gated: what flows through its statistics reaches the
kept rows alone, multiplied by rows / kept rows where the means are over these.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.builtin import random
from tflite_odl.methods.reference import Arrays, Batch, KerasReference
from tflite_odl.methods.skip.baselines import KEEP_SALT, SKIPPED_SALT, SMALLEST_DRAW


class SkipReference(KerasReference):
    """`skip` by Keras.

    Attributes:
      margins: distances from which each choice of the last step would have gone the
        other way.
    """

    def __init__(self, method, dtype: str) -> None:
        super().__init__(method, dtype)
        self._passes: np.ndarray | None = None
        self._head = self.learning[-1]
        if method.graph.output.op == "dense":
            self._head = self.variables[method.graph.output.weights["kernel"]]
        for layer in self.model._flatten_layers(include_self=False):
            batch_norm = isinstance(layer, tf_keras.layers.BatchNormalization)
            if batch_norm and layer.trainable:
                layer.call = self._gated(layer, layer.call)

    def _gated(self, layer, call):
        """Returns a batch norm's call, its gradient gated.

        dx = direct + stretch (all - direct) in kept rows, 0 in others, where direct is
        the gradient with the statistics held constant, by a term whose value is 0.
        """

        def direct(x):
            axes = list(range(len(x.shape) - 1))
            inverse = tf.math.rsqrt(tf.math.reduce_variance(x, axes) + layer.epsilon)
            factor = inverse if layer.gamma is None else inverse * layer.gamma
            return x * tf.stop_gradient(factor)

        def gated(x, training=None):
            if not training:
                return call(x, training=training)
            constant = direct(self._gate(x, lambda stretch: 1 - stretch))
            y = call(self._gate(x, lambda stretch: stretch), training=training)
            return y + (constant - tf.stop_gradient(constant))

        return gated

    def _gate(self, x, share):
        """Returns x; its gradient is multiplied by share(stretch) in kept rows."""

        @tf.custom_gradient
        def gate(x):
            def backward(dy):
                passes = self._passes
                stretch = 1.0
                if self.method.config.norm_means == "kept":
                    stretch = len(passes) / passes.sum()
                column = passes.reshape([-1] + [1] * (len(dy.shape) - 1))
                return dy * (column * share(stretch)).astype(self.dtype)

            return tf.identity(x), backward

        return gate(x)

    def step(self, state: Arrays, batch: Batch) -> tuple[dict[str, np.ndarray], dict]:
        self._load(state)
        good = self.good(batch)
        y, x = batch.y[good], self._preprocess(batch.rows(good).x)
        if self.config.noise:
            noise = self._noise(state, len(batch.y))
            x = [one + more[good] for one, more in zip(x, noise, strict=True)]
        self.drawn.set(state["random"], good)
        persistent = {"persistent": True, "watch_accessed_variables": False}
        # The last layer's own tape: rows' gradients, one by one, stay cheap.
        with (
            tf.GradientTape(**persistent) as tape,
            tf.GradientTape(**persistent) as head,
        ):
            tape.watch(self.learning)
            head.watch(self._head)
            logits = self._run(x, training=True)
            losses = self._row_losses(logits, y)
        labelled = y >= 0
        p = tf.nn.softmax(logits).numpy()
        policy = _Policy(self.method, state, self._places(batch), p, y)
        weights = policy.weights(losses.numpy())
        news = policy.counters(weights)
        if self.method.config.policy == "threshold":
            sizes = self._gradient_sizes(state, tape, head, losses, policy)
            news |= policy.threshold(*sizes)
        self.margins = np.array(policy.margins)
        optimizer = self._optimizer(state, int(state["updates"][0]))
        rows = labelled.sum()
        if self.method.config.divide == "kept":
            rows = (weights > 0).sum()
        norm = 0.0
        if (weights > 0).any():
            gradients = self._gradients(tape, losses, weights / rows)
            norm = float(tf.linalg.global_norm(gradients))
            if "clip_norm" in state:
                gradients, _ = tf.clip_by_global_norm(
                    gradients, float(state["clip_norm"][0])
                )
            optimizer.apply_gradients(zip(gradients, self.learning, strict=True))
        after = self._new_state(state, optimizer)
        metrics = {
            "loss": float(losses.numpy()[labelled].mean()),
            "gradient_norm": norm,
            "step": int(state["step"][0]) + 1,
            "accepted": 1,
            "rejected_rows": int(batch.count[0] - good.sum()),
            "kept": int((weights > 0).sum()),
            "skipped_total": int(news["skipped_total"][0]),
        }
        return {**after, **news}, metrics

    def _row_losses(self, logits: tf.Tensor, y: np.ndarray) -> tf.Tensor:
        loss = tf_keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="none"
        )
        return loss(np.maximum(y, 0), logits)

    def _gradients(self, tape, losses: tf.Tensor, weights: np.ndarray) -> list:
        """Returns the gradients of sum w_i L_i, through the rows of weight only."""
        self._passes = (weights > 0).astype(self.dtype)
        found = tape.gradient(losses, self.learning, weights.astype(self.dtype))
        self._passes = None
        return found

    def _gradient_sizes(self, state, tape, head, losses, policy) -> tuple[list, list]:
        """Returns (rows, their mean |dL_i / dW|) that are measured in this step."""
        if self.method.config.gradient_ends == "probe":
            row = policy.probed(state)
            alone = np.zeros(len(policy.y))
            alone[row] = 1
            found = self._gradients(tape, losses, alone)
            entries = np.concatenate([np.abs(g.numpy()).ravel() for g in found])
            return [row], [entries.mean()]
        sizes = []
        for i in policy.rows:
            alone = np.zeros(len(policy.y), self.dtype)
            alone[i] = 1
            found = head.gradient(losses, self._head, alone)
            sizes.append(np.abs(found.numpy()).mean())
        return policy.rows, sizes

    def _places(self, batch: Batch) -> np.ndarray:
        """Returns the places in the batch of the rows that count."""
        return np.flatnonzero(self.good(batch))


class _Policy:
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
        largest = self.config.confidence == "max"
        self.c = [max(p[i]) if largest else p[i][y[i]] for i in range(len(y))]
        self.rows = [i for i in range(len(y)) if y[i] >= 0]
        self.margins: list[float] = []

    def weights(self, losses: np.ndarray) -> np.ndarray:
        """Returns [n]: each row's weight, 0 where it is skipped."""
        config, step = self.config, self.state["step"][0]
        found = getattr(self, f"_{config.policy}")(losses)
        if config.keep_skipped:
            drawn = self._draw(SKIPPED_SALT) < np.float32(config.keep_skipped)
            found[(found == 0) & drawn] = 1 / config.keep_skipped
        end = config.full_from
        if step < config.warm_up or (end is not None and step >= end):
            found[:] = 1
        found[self.y < 0] = 0
        return found

    def _draw(self, salt: int) -> np.ndarray:
        size = max(self.places) + 1
        drawn = random.uniform(tf.constant(self.state["random"]), [size], salt)
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
        return (self._draw(KEEP_SALT) >= self.state["skip_rate"]).astype(float)

    def _selective(self, losses: np.ndarray) -> np.ndarray:
        share = 1.0 - float(self.state["skip_rate"][0])
        ascending = sorted(self.rows, key=lambda i: losses[i])
        ordered = losses[ascending]
        self.margins += list(np.diff(ordered))
        drawn, keys = self._draw(KEEP_SALT).astype(np.float64), {}
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
        drawn, found = self._draw(KEEP_SALT), np.ones(len(self.y))
        for i in self.rows:
            if losses[i] < mean:
                found[i] = 1 / (1 - float(rate)) if drawn[i] >= rate else 0
        return found

    def probed(self, state: Arrays) -> int:
        """Returns the first row of the lowest interval, in odd steps of the highest."""
        pick = max if state["step"][0] % 2 else min
        return pick(self.rows, key=lambda i: self._interval(self.c[i]))

    def counters(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        kept = int((weights > 0).sum())
        skipped = np.int32(len(self.rows) - kept)
        return {
            "skipped_total": self.state["skipped_total"] + skipped,
            "updates": self.state["updates"] + np.int32(kept > 0),
        }

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
        found = {"threshold_interval": np.array([j], np.int32)}
        return {**zeros, **found, "estimated_rse": np.array([rse])}

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
