"""Ranges of activations, found by TF-MOT on a copy of the user's model.

TF-MOT knows after which Keras layers a range is needed, and keeps it. It is used for
that, and then dropped: our own graph carries the ranges on.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.errors import ExportError
from tflite_odl.reading.copies import float32_copy

# Share of the ranges so far in the moving average, after the first batch has set them.
# With TF-MOT's own .999 they would stay at -6 and 6 for thousands of batches.
DECAY = 0.8
# What every range begins with; one that still has it was not calibrated.
BEGIN = (-6.0, 6.0)
BATCHES, ROWS = 32, 32

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Calibrated:
    """What TF-MOT has found.

    Attributes:
      inputs: the range of each input of the model, in order.
      outputs: {Keras layer: range of what it puts out}.
      unknown: names of the layers that TF-MOT does not know, which stay float.
      model: TF-MOT's own model with fake quantization, from the model's inputs to the
        outputs of the layers that were asked for.
      plain: the same without quantization.
    """

    inputs: tuple[Range, ...]
    outputs: dict[str, Range]
    unknown: tuple[str, ...]
    model: tf_keras.Model
    plain: tf_keras.Model


def calibrated(
    model: tf_keras.Model,
    ends: Sequence[str],
    x: Sequence[np.ndarray],
    progress: Callable[[str], None] = lambda stage: None,
) -> Calibrated:
    """Returns the ranges of a model up to some of its layers.

    Args:
      model: functional; it is not changed, a copy is.
      ends: names of its layers that the ranges are wanted up to.
      x: one [N, ...] float32 for each input, as the model takes it.
      progress: called with the name of each stage as it begins.

    Raises:
      ExportError: TF-MOT cannot quantize it, or a range did not move.
    """
    copy = float32_copy(model)
    front = tf_keras.Model(copy.inputs, [_output(copy, name) for name in ends])
    quantized, unknown = annotated(front)
    calibrate(quantized, x, progress)
    outputs, inputs = {}, []
    for layer in quantized.layers:
        known = _range(layer)
        if known is None:
            continue
        if type(layer).__name__ == "QuantizeLayer":
            inputs.append(known)
        else:
            outputs[layer.layer.name] = known
    if len(inputs) != len(model.inputs):
        raise ExportError(
            f"TF-MOT quantizes {len(inputs)} of {len(model.inputs)} inputs: the first "
            f"layers {list(unknown)} are none it knows"
        )
    return Calibrated(tuple(inputs), outputs, unknown, quantized, front)


def _output(model: tf_keras.Model, name: str) -> tf.Tensor:
    try:
        return model.get_layer(name).output
    except (ValueError, AttributeError) as error:
        raise ExportError(
            f"layer {name!r} is in a nested model or used several times: TF-MOT cannot "
            "quantize what is before it"
        ) from error


def annotated(front: tf_keras.Model) -> tuple[tf_keras.Model, tuple[str, ...]]:
    """Returns (the model with fake quantization, layers that stay as they are).

    Raises:
      ExportError: TF-MOT cannot quantize it.
    """
    import tensorflow_model_optimization as tfmot
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (  # noqa: E501
        default_8bit_quantize_registry,
    )

    registry = default_8bit_quantize_registry.Default8BitQuantizeRegistry()
    keras = tfmot.quantization.keras
    unknown: list[str] = []

    def annotate(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if isinstance(layer, tf_keras.layers.InputLayer):
            return layer
        if registry.supports(layer) or _norm_of(layer, registry):
            return keras.quantize_annotate_layer(layer)
        unknown.append(layer.name)
        return layer

    try:
        marked = tf_keras.models.clone_model(front, clone_function=annotate)
        marked.set_weights(front.get_weights())
        return keras.quantize_apply(marked), tuple(unknown)
    except (RuntimeError, ValueError, UnboundLocalError) as error:
        raise ExportError(f"TF-MOT cannot quantize the frozen part: {error}") from error


def _norm_of(layer: tf_keras.layers.Layer, registry) -> bool:
    """Whether it is a batch norm that TF-MOT knows: behind a layer it folds it into."""
    if not isinstance(layer, tf_keras.layers.BatchNormalization):
        return False
    (call,) = layer.inbound_nodes
    before = call.keras_inputs[0]._keras_history.layer
    folds = (
        tf_keras.layers.Conv2D,
        tf_keras.layers.DepthwiseConv2D,
        tf_keras.layers.Dense,
    )
    linear = getattr(before, "activation", None) is tf_keras.activations.linear
    alone = len(before.outbound_nodes) == 1
    return isinstance(before, folds) and linear and alone and registry.supports(before)


def calibrate(
    quantized: tf_keras.Model,
    x: Sequence[np.ndarray],
    progress: Callable[[str], None],
) -> None:
    """Moves the ranges to where the rows are, and nothing else.

    Raises:
      ExportError: one of them did not move.
    """
    for layer in quantized.submodules:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            # Else it would move, and scale by the batch's statistics.
            layer.trainable = False
    rows = len(x[0])
    for batch in range(BATCHES):
        progress(f"calibrate, batch {batch + 1} of {BATCHES}")
        chosen = np.arange(batch * ROWS, (batch + 1) * ROWS) % rows
        with _average(DECAY if batch else 0.0):
            quantized([one[chosen] for one in x], training=True)
    still = [layer.name for layer in quantized.layers if _range(layer) == BEGIN]
    if still:
        raise ExportError(
            f"the ranges of {still} did not move from {BEGIN}: the rows to calibrate "
            "with do not reach them"
        )


@contextlib.contextmanager
def _average(decay: float) -> Iterator[None]:
    """TF-MOT's moving averages keep this share of what was; it is no option of it."""
    from tensorflow_model_optimization.python.core.quantization.keras import quant_ops

    original = quant_ops.MovingAvgQuantize

    def own(*arguments, **options):
        return original(*arguments, **{**options, "ema_decay": decay})

    quant_ops.MovingAvgQuantize = own
    try:
        yield
    finally:
        quant_ops.MovingAvgQuantize = original


def _range(layer: tf_keras.layers.Layer) -> Range | None:
    """Returns the range of what a layer puts out, None if TF-MOT keeps none of it."""
    found = {}
    for variable in layer.weights:
        name = variable.name.split("/")[-1].split(":")[0]
        kind, _, end = name.rpartition("_")
        if kind in ("output", "post_activation") or kind.startswith("quantize_layer"):
            found[end] = float(variable.numpy())
    return (found["min"], found["max"]) if found else None
