"""`contrastive`: an encoder learns from a stream without labels, by SimCLR's loss.

A step draws items of the buffer, adds the new segment, passes two random views of each
forward, and learns from the contrast. The same forward pass gives the scores by which
the buffer keeps some of what it had and of what came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from tflite_odl import contract
from tflite_odl.builtin import random, rows
from tflite_odl.builtin.losses.nt_xent import normalized
from tflite_odl.contract import TensorSpec
from tflite_odl.errors import ModelError
from tflite_odl.methods.augmentation import AUTO, View
from tflite_odl.methods.base import (
    Entry,
    Method,
    Outcome,
    Serving,
    StateTensor,
    Tensors,
)
from tflite_odl.methods.contrastive.config import TAU, ContrastiveConfig
from tflite_odl.methods.contrastive.recognition import Recognition
from tflite_odl.methods.contrastive.replay import Replay
from tflite_odl.methods.contrastive.siamese import Siamese
from tflite_odl.methods.learner import Learner
from tflite_odl.methods.network import (
    Network,
    computing_in_float32,
    without_left_out,
)
from tflite_odl.methods.step import counters, settle
from tflite_odl.reading.encoder import HIDDEN, encoder, with_projector
from tflite_odl.reading.load import LoadedModel

# Of images and of windows, by the rank of an item.
DEFAULT_TAU = {3: 0.5, 2: 0.1}
COMPILED = (
    "what the model was compiled with is of its labels: contrastive learns by a loss "
    "of its own, with the optimizer of --optimizer"
)


class Contrastive(Method):
    """An encoder, a projector, a scored buffer and SimCLR's loss.

    Args:
      model: a tf_keras model, or what `reading.load.load` made of a file, with one
        input, images [H, W, C] or windows [T, C]; what its classifier reads is the
        embedding, see `reading.encoder`.
      classes: class names, or none.
      choices: {node name: lowering name}, else the default plan.
      **config: fields of `ContrastiveConfig`.

    Attributes:
      source_model: the encoder, with the model's own layers.
      network: the encoder with the projector behind it.
      salts: of all random draws.
      siamese: the network with the two views that it sees.
      replay: the buffer.
      recognition: the enrolled items.
      learner: of the trainable weights.

    Raises:
      ModelError: the model or an option of it cannot be trained so.
    """

    name = "contrastive"
    Config = ContrastiveConfig

    def __init__(
        self,
        model: tf_keras.Model | LoadedModel,
        classes: Sequence[str] = (),
        choices: Mapping[str, str] | None = None,
        **config: Any,
    ) -> None:
        self.config = settings = self.Config(**config)
        self.classes, self.salts = tuple(classes), random.Salts()
        loaded = LoadedModel.of(model)
        self.notes = (COMPILED,) if loaded.compiled else ()
        read = without_left_out(computing_in_float32(loaded.model))
        self.source_model = encoder(read)
        whole = with_projector(
            self.source_model,
            settings.projector_width,
            settings.projection,
            settings.seed,
        )
        self.network = Network(whole, settings, choices, salts=self.salts)
        self.features = self.network.features
        self._check()
        self.siamese = self._siamese()
        self.replay = Replay(settings, self.siamese, self.salts)
        self.recognition = Recognition(settings, self.siamese, self.classes)
        self.learner = Learner(settings, self.network.learning())

    def _check(self) -> None:
        if len(self.features) != 1:
            raise ModelError(
                f"contrastive takes one input, the model has {len(self.features)}"
            )
        graph = self.network.graph
        terms = [*graph.penalties, *graph.activities, *graph.constraints]
        if terms:
            raise ModelError(
                f"{terms[0]!r} has a regularizer or a constraint, which contrastive "
                "does not learn by: make the model without it"
            )
        if not graph.trainable:
            raise ModelError("nothing to train: no layer with weights is trainable")

    def _siamese(self) -> Siamese:
        nodes = self.network.graph.nodes
        hidden = next(n for n in nodes if n.layer == HIDDEN and n.op == "dense")
        family = self.config.family(self.features[0], AUTO)
        first, second = (View.of(family, self.salts, n) for n in ("view_1", "view_2"))
        until = self.network.until(hidden.inputs[0])
        return Siamese(self.network, until, (first, second), self.config.score)

    def layers(self) -> tuple[str, ...]:
        return self.network.layers

    def plan_names(self) -> dict[str, str]:
        return self.network.plan_names

    def state_tensors(self) -> list[StateTensor]:
        (part,) = self.features
        tau = self.config.tau or DEFAULT_TAU[len(part.shape)]
        return [
            *self.network.state_tensors(),
            *self.learner.state_tensors(),
            StateTensor.setting("tau", tau, TAU),
            *counters(self.config.seed),
            *self.replay.state_tensors(part),
            *self.recognition.state_tensors(),
        ]

    def entries(self, batch_size: int, infer_batch_size: int) -> list[Entry]:
        x, y, count = self.inputs(batch_size)
        one = self.network.specs(infer_batch_size)
        return [
            Entry(contract.TRAIN, (x, count), self.train),
            Entry(contract.INFER, one, self.infer),
            Entry(contract.EVALUATE, (x, y, count), self.recognition.evaluate),
            *self.recognition.entries(x, count, one),
        ]

    def inputs(self, batch_size: int) -> tuple[TensorSpec, ...]:
        """Returns the inputs of evaluate: the feature, the label, the count."""
        (x,), shape = self.network.specs(batch_size), (batch_size,)
        about, fill = "class, -1 = unlabelled", contract.UNLABELLED
        y = TensorSpec("y", "int32", shape, "label", about=about, fill=fill)
        about = "real leading rows"
        return x, y, TensorSpec("count", "int32", (1,), "count", "rows", about)

    def train(self, state: Tensors, inputs: Tensors) -> Outcome:
        segment = self.siamese.segment(inputs)
        found = self.replay(state, segment)
        step, done = found.step, state["step"] // self.config.accumulate
        gradients = self.network.named(step.gradients)
        learned = self.learner.learn(state, gradients, state["step"], done)
        outputs = {
            "loss": step.loss,
            "rejected_rows": segment.rejected,
            "gradient_norm": learned.norm,
            **found.metrics,
        }
        changes = learned.changes({**self.network.named(step.moved), **found.news})
        some = tf.reduce_sum(segment.good, keepdims=True) > 0.0
        finite = tf.logical_and(rows.finite(step.loss), rows.finite(learned.norm))
        return settle(state, outputs, changes, tf.logical_and(some, finite))

    def infer(self, state: Tensors, inputs: Tensors) -> Outcome:
        x = self.network.preprocess(inputs)
        return Outcome({"embedding": self.siamese.embedded(state, x, judged=False)})

    def serving(self) -> Serving:
        encode = self.siamese.encoder
        return Serving(encode, lambda y: {"embedding": normalized(y).z})

    def quantized(self, backbone: Any) -> Method:
        raise ModelError(
            "contrastive trains in float32: an int8 backbone is for finetune "
            "and skip, with --weights of what was learned"
        )

    def proof(self, sample: Any = None) -> Any:
        from tflite_odl.proof.contrastive import ContrastiveProof

        return ContrastiveProof(self, sample)
