"""What a design is: a model that somebody else published, its structure rebuilt."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

# Rows that statistics are taken of.
ROWS = 64


@dataclasses.dataclass(frozen=True)
class Kit:
    """One of both Keras, to build with.

    Attributes:
      api: the module `keras` (3) or `tf_keras`.
      quiet: whether dropout, noise and augmentation are left out, so that Keras and an
        artifact can be compared step by step.
    """

    api: Any
    quiet: bool = False

    @property
    def layers(self) -> Any:
        return self.api.layers

    @property
    def ops(self) -> Any:
        """Functions on tensors, by the names of `keras.ops`."""
        return self.api.ops if hasattr(self.api, "ops") else _tensorflow()

    def dropout(self, rate: float) -> Any:
        return self.layers.Dropout(0.0 if self.quiet else rate)

    def noisy(self, rate: float) -> float:
        """Returns a rate of dropout or noise within a layer."""
        return 0.0 if self.quiet else rate

    def settled(self, base: Any, scale: float) -> Any:
        """Returns a net with fresh weights, the statistics of its batch norms those of
        random rows: with those that they begin with, a deep net's signal dies out. Its
        dropout, which frozen nets draw too, is left out if asked for.

        Args:
          base: whose norms have moved by nothing so far.
          scale: of the rows.
        """
        kind = self.layers.BatchNormalization
        norms = [layer for layer in base.layers if isinstance(layer, kind)]
        momentum = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 0.0
        shape = (ROWS, *base.inputs[0].shape[1:])
        rows = np.random.default_rng(0).normal(0, scale, shape).astype("float32")
        base(rows, training=True)
        for norm, usual in zip(norms, momentum, strict=True):
            norm.momentum = usual
        for layer in base.layers if self.quiet else ():
            if isinstance(layer, self.layers.Dropout):
                layer.rate = 0.0
        return base

    def model(self, inputs: Any, outputs: Any, loss: Any, optimizer: Any = "adam"):
        """Returns a compiled model; `loss` and `optimizer` as Keras takes them."""
        found = self.api.Model(inputs, outputs)
        found.compile(optimizer=optimizer, loss=loss)
        return found

    def stack(self, shape: tuple, layers: list, loss: Any, optimizer: Any = "adam"):
        """Returns a compiled sequential model."""
        found = self.api.Sequential([self.api.Input(shape), *layers])
        found.compile(optimizer=optimizer, loss=loss)
        return found


@dataclasses.dataclass(frozen=True)
class Design:
    """One design.

    Attributes:
      name: unique.
      source: where it was published.
      group: what it is for.
      build: kit -> compiled model.
      batch: rows of a step.
      high: input name -> one more than its largest whole number; "" for every input.
      scale: of real values.
      labels: how many classes, 0 for real values, 1 for zeros and ones.
      one_hot: whether Keras' loss takes classes as one-hot rows.
    """

    name: str
    source: str
    group: str
    build: Callable[[Kit], Any]
    batch: int = 4
    high: Mapping[str, int] = dataclasses.field(default_factory=dict)
    scale: float = 1.0
    labels: int = 0
    one_hot: bool = False


class Room:
    """The designs of a file, in their order."""

    def __init__(self, group: str) -> None:
        self.group, self.designs = group, []

    def of(self, source: str, labels: int = 0, **options: Any) -> Callable:
        """Decorates a design's builder; it has the builder's name."""

        def take(build: Callable[[Kit], Any]) -> Callable[[Kit], Any]:
            name = build.__name__
            self.designs.append(
                Design(name, source, self.group, build, labels=labels, **options)
            )
            return build

        return take


def _tensorflow() -> Any:
    import tensorflow as tf

    return types.SimpleNamespace(
        abs=tf.abs,
        clip=tf.clip_by_value,
        log=tf.math.log,
        maximum=tf.maximum,
        mean=tf.reduce_mean,
        reshape=tf.reshape,
        sqrt=tf.sqrt,
        square=tf.square,
        sum=lambda x, axis, keepdims=False: tf.reduce_sum(x, axis, keepdims),
        transpose=tf.transpose,
        depth_to_space=tf.nn.depth_to_space,
    )
