"""The skipping step in plain Keras and NumPy loops: what an artifact is compared with.

Nothing is packed here: the whole batch goes forward, skipped rows' losses weigh zero,
and each batch norm's gradient is gated: what flows through its statistics reaches the
kept rows alone, multiplied by rows / kept rows where the means are over these.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.proof.proof import Answer, Arrays
from tflite_odl.proof.references.optimizers import clipped
from tflite_odl.proof.references.seen import seen
from tflite_odl.proof.references.skip_policy import ReferencePolicy
from tflite_odl.proof.references.supervised import (
    Batch,
    KerasReference,
    as_arrays,
    dense,
)


class SkipReference(KerasReference):
    """`skip` by Keras."""

    def __init__(self, method, dtype: str) -> None:
        super().__init__(method, dtype)
        self._passes: np.ndarray | None = None
        self._head = self.learning[-1]
        if method.network.graph.output.op == "dense":
            self._head = self.variables[method.network.graph.output.weights["kernel"]]
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

    def _step(self, state: Arrays, batch: Batch) -> Answer:
        self._load(state)
        good = self.good(batch)
        y, x = batch.y[good], self.seen(state, batch, good)
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
            penalties = self.penalties()
        labelled = y >= 0
        p = tf.nn.softmax(logits).numpy()
        policy = ReferencePolicy(self.method, state, self._places(batch), p, y)
        weights = policy.weights(losses.numpy())
        news = policy.counters(weights)
        if self.method.config.policy == "threshold":
            sizes = self._gradient_sizes(state, tape, head, losses, policy)
            news |= policy.threshold(*sizes)
        optimizer = self._optimizer(state, int(state["updates"][0]))
        rows = labelled.sum()
        if self.method.config.divide == "kept":
            rows = (weights > 0).sum()
        of_batch = [tf.zeros_like(variable) for variable in self.learning]
        if (weights > 0).any():
            of_batch = self._gradients(tape, losses, weights / rows)
        of_penalties = tape.gradient(
            penalties, self.learning, unconnected_gradients="zero"
        )
        of_batch = [a + b for a, b in zip(of_batch, of_penalties, strict=True)]
        sums, gradients = self._gather(state, of_batch, int(state["step"][0]))
        norm, made_from = float(tf.linalg.global_norm(gradients)), {}
        due, group = self._due(state, int((weights > 0).sum()))
        if norm > 0:
            made_from = self._made_from(gradients, of_batch)
        if due:
            self.apply(optimizer, clipped(state, gradients))
        news["updates"] = state["updates"] + np.int32(due)
        news |= seen(self.method.network, state, x, good)
        after = {**self._new_state(state, optimizer), **sums, **news, **group}
        outputs = {
            "loss": float(losses.numpy()[labelled].mean() + penalties),
            "gradient_norm": norm,
            "step": int(state["step"][0]) + 1,
            "accepted": 1,
            "rejected_rows": int(batch.count[0] - good.sum()),
            "kept": int((weights > 0).sum()),
            "skipped_total": int(news["skipped_total"][0]),
            **policy.outputs(after),
        }
        margins = np.array(policy.margins)
        return Answer(as_arrays(outputs), after, margins, made_from, ulps=self.ulps)

    def _due(self, state: Arrays, kept: int) -> tuple[bool, dict[str, np.ndarray]]:
        """Returns (whether an update is due, new count of the group's kept rows)."""
        every, place = self.config.accumulate, int(state["step"][0])
        if every == 1:
            return kept > 0, {}
        if place % every:
            kept += int(state["kept_in_group"][0])
        last = place % every == every - 1
        return last and kept > 0, {"kept_in_group": np.array([kept], np.int32)}

    def _row_losses(self, logits: tf.Tensor, y: np.ndarray) -> tf.Tensor:
        loss = tf_keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="none"
        )
        return loss(np.maximum(y, 0), logits)

    def _gradients(self, tape, losses: tf.Tensor, weights: np.ndarray) -> list:
        """Returns the gradients of sum w_i L_i, through the rows of weight only."""
        self._passes = (weights > 0).astype(self.dtype)
        weights = weights.astype(self.dtype)
        gradients = dense(tape.gradient(losses, self.learning, weights))
        self._passes = None
        return gradients

    def _gradient_sizes(self, state, tape, head, losses, policy) -> tuple[list, list]:
        """Returns (rows, their mean |dL_i / dW|) that are measured in this step."""
        if self.method.config.gradient_ends == "probe":
            row = policy.probed(state)
            alone = np.zeros(len(policy.y))
            alone[row] = 1
            of_row = self._gradients(tape, losses, alone)
            entries = np.concatenate([np.abs(g.numpy()).ravel() for g in of_row])
            return [row], [entries.mean()]
        sizes = []
        for i in policy.rows:
            alone = np.zeros(len(policy.y), self.dtype)
            alone[i] = 1
            of_row = head.gradient(losses, self._head, alone)
            sizes.append(np.abs(of_row.numpy()).mean())
        return policy.rows, sizes

    def _places(self, batch: Batch) -> np.ndarray:
        """Returns the places in the batch of the rows that count."""
        return np.flatnonzero(self.good(batch))
