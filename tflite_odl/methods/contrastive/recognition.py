"""Classes of embeddings, by a few labelled items that are kept raw.

Embeddings of an encoder that goes on learning get stale; the items are there to be
embedded anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tflite_odl import contract
from tflite_odl.contract import TensorSpec
from tflite_odl.contract.names import CLASSIFY, ENROLL, REFRESH
from tflite_odl.methods.base import Change, Entry, Outcome, StateTensor, Tensors
from tflite_odl.methods.contrastive import labels
from tflite_odl.methods.contrastive.config import ContrastiveConfig
from tflite_odl.methods.contrastive.labels import Enrolled, Told
from tflite_odl.methods.contrastive.replay import mean
from tflite_odl.methods.contrastive.siamese import Siamese

# State tensors, by the fields of `Enrolled`.
NAMES = {
    "item": "enrolled_items",
    "label": "enrolled_labels",
    "arrival": "enrolled_arrivals",
}
EMBEDDINGS = "enrolled_embeddings"


class Recognition:
    """The enrolled items of a method, and what they tell of others.

    Args:
      config: of the method.
      siamese: gives embeddings.
      classes: names of the classes; none: any label of 0 or more is a class.
    """

    def __init__(
        self, config: ContrastiveConfig, siamese: Siamese, classes: Sequence[str]
    ) -> None:
        self.config, self.siamese, self.classes = config, siamese, len(classes)

    def state_tensors(self) -> list[StateTensor]:
        size, network = self.config.enroll, self.siamese.network
        (part,) = network.features
        width = self.siamese.encoder.graph.output.shape[0]
        values = {
            NAMES["item"]: np.zeros((size, *part.shape), part.preprocessing.dtype),
            NAMES["label"]: np.full(size, contract.UNLABELLED, np.int32),
            NAMES["arrival"]: np.full(size, -1, np.int32),
            EMBEDDINGS: np.zeros((size, width), np.float32),
        }
        return [StateTensor.of(n, value, "buffer") for n, value in values.items()]

    def entries(
        self,
        feature: TensorSpec,
        count: TensorSpec,
        one: tuple[TensorSpec, ...],
    ) -> list[Entry]:
        """Returns enroll, classify and refresh.

        Args:
          feature, count: as the train signature takes them.
          one: the inputs of the infer signature.
        """
        about, shape = "class, 0 or more", feature.shape[:1]
        y = TensorSpec("y", "int32", shape, "label", about=about)
        about = "any value; Java needs an input"
        unused = TensorSpec("unused", "float32", (1,), about=about)
        return [
            Entry(ENROLL, (feature, y, count), self.enroll),
            Entry(CLASSIFY, one, self.classify),
            Entry(REFRESH, (unused,), self.refresh),
        ]

    def classify(self, state: Tensors, inputs: Tensors) -> Outcome:
        """Tells the class of each row."""
        x = self.siamese.network.preprocess(inputs)
        told = self._told(state, self.siamese.embedded(state, x, judged=False))
        return Outcome({"label": told.label, "similarity": told.similarity})

    def evaluate(self, state: Tensors, inputs: Tensors) -> Outcome:
        """Counts the labelled rows that are told rightly; none, if none is enrolled."""
        counted, y = self.siamese.network.counted(inputs), inputs["y"]
        told = self._told(state, self.siamese.embedded(state, counted.x, judged=True))
        asked = tf.logical_and(counted.good, self._valid(y))
        asked = tf.cast(tf.logical_and(asked, told.label >= 0), tf.float32)
        right = tf.cast(tf.equal(told.label, y), tf.float32) * asked
        sums = {"correct": right, "count": asked}
        found = {
            name: tf.cast(tf.reduce_sum(value, keepdims=True), tf.int32)
            for name, value in sums.items()
        }
        return Outcome({"similarity": mean(told.similarity, asked), **found})

    def enroll(self, state: Tensors, inputs: Tensors) -> Outcome:
        """Takes labelled items in, and embeds all there are anew."""
        segment, y = self.siamese.segment(inputs), inputs["y"]
        valid = tf.logical_and(segment.good > 0.0, self._valid(y))
        found = labels.enrolled(_present(state), segment.item, y, valid)
        unlabelled = segment.good - tf.cast(valid, tf.float32)
        unlabelled = tf.cast(tf.reduce_sum(unlabelled, keepdims=True), tf.int32)
        accepted = tf.reduce_any(valid, keepdims=True)
        news = {name: getattr(found, field) for field, name in NAMES.items()}
        news[EMBEDDINGS] = self.siamese.remembered(state, found.item)
        outputs = {
            "enrolled": found.count(),
            "rejected_rows": segment.rejected + unlabelled,
            "accepted": tf.cast(accepted, tf.int32),
        }
        return Outcome(outputs, [Change(news)], accepted)

    def refresh(self, state: Tensors, inputs: Tensors) -> Outcome:
        """Embeds the enrolled items anew, for the encoder has learned since."""
        present = _present(state)
        some = present.count() > 0
        outputs = {"enrolled": present.count(), "accepted": tf.cast(some, tf.int32)}
        news = {EMBEDDINGS: self.siamese.remembered(state, present.item)}
        return Outcome(outputs, [Change(news)], some)

    def _told(self, state: Tensors, embedding: tf.Tensor) -> Told:
        known, label = state[EMBEDDINGS], state[NAMES["label"]]
        return labels.classified(embedding, known, label, self.config.neighbours)

    def _valid(self, y: tf.Tensor) -> tf.Tensor:
        """Returns [B] bool: labels that are classes."""
        if not self.classes:
            return y >= 0
        return tf.logical_and(y >= 0, y < self.classes)


def _present(state: Tensors) -> Enrolled:
    return Enrolled(**{field: state[name] for field, name in NAMES.items()})
