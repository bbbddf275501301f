"""`finetune`: plain supervised training of the whole net or of its last layers."""

from __future__ import annotations

from tflite_odl.methods.base import Outcome, Tensors
from tflite_odl.methods.supervised import Supervised


class Finetune(Supervised):
    """The loss of labelled rows goes down; unlabelled rows only feed batch norms.

    Args:
      model, classes, choices: as for `Supervised`.
      **config: fields of `SupervisedConfig`.
    """

    name = "finetune"

    def train(self, state: Tensors, inputs: Tensors) -> Outcome:
        batch = self.seen(state, inputs)
        record = self.forward(state, batch)
        loss, gradient = self.loss.value(record.output, batch.y, batch.share)
        loss = self.network.penalized(state, loss, record, record.run.rows)
        learned = self.learn(state, record.backward(gradient))
        return self.outcome(state, batch, loss, learned, record.moved)
