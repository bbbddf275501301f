"""A classifier as an encoder with a projector: what contrastive learning trains."""

from __future__ import annotations

from typing import Any

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.models.blocks import Blocks
from tflite_odl.reading import rebuild

HIDDEN, OUTPUT = "projector_hidden", "projector_output"


def encoder(model: tf_keras.Model) -> tf_keras.Model:
    """Returns the model up to what its classifier reads: the embedding, [D].

    The classifier is a Dense, with an activation behind it or none, that gives the
    model's output; without one the whole model is the encoder. Layers are shared with
    the given model.

    Raises:
      ModelError: not one output, or the embedding is no vector.
    """
    graph = rebuild.graph(model)
    if len(graph.outputs) != 1:
        raise ModelError(
            f"an encoder has one output, model {model.name!r} has {len(graph.outputs)}"
        )
    embedding = _read_by_classifier(model, graph.outputs[0])
    if len(embedding.shape) != 2:
        raise ModelError(
            f"the embedding is {list(embedding.shape[1:])}, needs [D]: end the model "
            "in a pooling over all places, or in a Flatten"
        )
    return tf_keras.Model(model.inputs, embedding, name=model.name)


def with_projector(
    encoder: tf_keras.Model, width: int, size: int, seed: int
) -> tf_keras.Model:
    """Returns the encoder with two fresh Dense layers behind it, relu between them.

    Args:
      encoder: ends in an embedding [D].
      width: of the hidden layer.
      size: of the output, the projection.
      seed: of the initial weights.
    """
    make = Blocks(seed)
    hidden = make.dense(encoder.output, width, HIDDEN, "relu")
    projection = make.dense(hidden, size, OUTPUT)
    return tf_keras.Model(encoder.inputs, projection, name=f"{encoder.name}_projector")


def _read_by_classifier(model: tf_keras.Model, tensor: Any) -> Any:
    """Returns the tensor that the model's last Dense reads, else the model's output."""
    made_by = {
        id(output): call for call in rebuild.calls(model) for output in call.outputs
    }
    found = tensor
    while id(found) in made_by:
        call = made_by[id(found)]
        if isinstance(call.layer, tf_keras.layers.Dense):
            return call.args[0]
        if type(call.layer).__name__ not in ("Activation", "Softmax"):
            break
        found = call.args[0]
    return tensor
