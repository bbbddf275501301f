"""The losses of a model of several outputs, which its graph has as one, joined."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from collections.abc import Iterator, Mapping

from tflite_odl.builtin.lazy import tf
from tflite_odl.builtin.losses.base import Labels, Loss, count
from tflite_odl.builtin.rows import any_place
from tflite_odl.contract import TensorSpec

Parts = Mapping[str, "tf.Tensor"]


@dataclasses.dataclass(frozen=True)
class Several:
    """L = sum_k w_k L_k(z_k, y_k); z, [B, N], are the outputs z_k flattened and joined.

    Labels, shares and the like are {output name: tensor}; the label of an output is the
    input `y_` and its name, and each output may have rows or places without a label.

    Attributes:
      parts: {output name: its loss}, in their order in z.
      weights: {output name: w_k}.
    """

    parts: Mapping[str, Loss]
    weights: Mapping[str, float]

    def targets(self, batch_size: int) -> tuple[TensorSpec, ...]:
        """Returns what the train signature takes as labels."""
        return tuple(
            dataclasses.replace(part.target(batch_size), name=label_name(name))
            for name, part in self.parts.items()
        )

    def given(self, inputs: Parts) -> dict[str, tf.Tensor]:
        """Returns the labels among the inputs of a signature."""
        return {name: inputs[label_name(name)] for name in self.parts}

    def read(self, y: Parts) -> Labels:
        found = {name: part.read(y[name]) for name, part in self.parts.items()}
        valid = (labels.valid for labels in found.values())
        return Labels(
            {name: labels.y for name, labels in found.items()},
            functools.reduce(tf.logical_and, valid),
            {name: labels.labelled for name, labels in found.items()},
        )

    def value(self, z: tf.Tensor, y: Parts, share: Parts):
        """Returns (the loss, [1] float32, and its gradient, [B, N])."""
        losses, gradients = [], []
        for name, part, output in self._split(z):
            weight = self.weights[name]
            loss, gradient = part.value(output, y[name], share[name])
            losses.append(loss * weight)
            gradients.append(tf.reshape(gradient * weight, [z.shape[0], -1]))
        return functools.reduce(operator.add, losses), tf.concat(gradients, 1)

    def predictions(self, z: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns what `infer` gives, by name."""
        return {
            f"{part.output}_{name}": part.predict(output)
            for name, part, output in self._split(z)
        }

    def metrics(self, z: tf.Tensor, y: Parts, labelled: Parts) -> dict[str, tf.Tensor]:
        """Returns the metrics of each output, its name behind theirs, and `count`: rows
        that have a label in any of them."""
        found: dict[str, tf.Tensor] = {}
        for name, part, output in self._split(z):
            of_part = part.metrics(output, y[name], labelled[name])
            found |= {f"{metric}_{name}": value for metric, value in of_part.items()}
        rows = map(any_place, labelled.values())
        return {**found, "count": count(functools.reduce(tf.maximum, rows))}

    def _split(self, z: tf.Tensor) -> Iterator[tuple[str, Loss, tf.Tensor]]:
        """Yields (name, loss, output [B, *P, C])."""
        start = 0
        for name, part in self.parts.items():
            stop = start + math.prod(part.shape)
            yield name, part, tf.reshape(z[:, start:stop], [z.shape[0], *part.shape])
            start = stop


def label_name(output: str) -> str:
    """Returns the input that takes the labels of an output."""
    return f"y_{output}"
