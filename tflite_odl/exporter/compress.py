"""Pruned, clustered and quantization-aware weights, trained by TF-MOT on a copy.

TF-MOT changes the layers it is given, so it gets a copy of the model, and is dropped
when that is trained: the weights go into another plain copy. What is pruned or
clustered so is what the artifact is shipped with; training on the phone moves weights
freely again.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tf_keras

from tflite_odl.builtin.graph import Graph
from tflite_odl.errors import ExportError
from tflite_odl.exporter import tfmot
from tflite_odl.exporter.recipes import Recipe
from tflite_odl.reading import wrapped
from tflite_odl.reading.copies import float32_copy
from tflite_odl.reading.logits import as_logits

# Clustered weights collapse at larger rates.
RATES = {"prune": 1e-3, "cluster": 1e-4, "quantize": 1e-4}
BATCH = 32
# Fewer weights than so many times the clusters are not shared: that saves nothing.
LEAST_SHARED = 8
KERNELS = ("conv2d", "conv1d", "dense")


@dataclasses.dataclass(frozen=True)
class Teaching:
    """What the copy is trained with.

    Attributes:
      x: [N, ...] float32, as the model takes them.
      y: labels as the loss takes them.
      loss: a Keras loss of the model's own output.
      steps: of `BATCH` rows, for each of pruning and clustering.
      qat_steps: with fake quantization; 0: none.
    """

    x: np.ndarray
    y: np.ndarray
    loss: Any
    steps: int = 500
    qat_steps: int = 0

    @classmethod
    def on(
        cls,
        model: tf_keras.Model,
        x: np.ndarray,
        y: np.ndarray,
        loss: str,
        steps: int = 500,
        qat_steps: int = 0,
    ) -> Teaching:
        """Returns what a model is trained with by the name of a method's loss.

        Rows without a label are left out.

        Raises:
          ExportError: the loss is another than the two known here.
        """
        y = np.asarray(y)
        losses = tf_keras.losses
        if loss == "sparse_cross_entropy":
            _, ending = as_logits(model)
            keras = losses.SparseCategoricalCrossentropy(ending == "logits")
            keep = y >= 0
        elif loss == "mean_squared_error":
            keras, keep = losses.MeanSquaredError(), ~np.isnan(y).any(-1)
        else:
            raise ExportError(
                f"no weights are trained by TF-MOT with the loss {loss!r}"
            )
        x = np.asarray(x, np.float32)[keep]
        return cls(x, y[keep], keras, steps, qat_steps)


def compressed(
    model: tf_keras.Model,
    recipe: Recipe,
    teaching: Teaching,
    progress: Callable[[str], None] = lambda stage: None,
) -> tf_keras.Model:
    """Returns a copy of a model with the weights that a recipe asks for.

    Args:
      model: functional or sequential; it is not changed.
      recipe: its `sparsity` and `clusters` say what is done.
      teaching: rows and steps.
      progress: called with the name of each stage as it begins.

    Raises:
      ExportError: TF-MOT cannot wrap a layer, or no layer came out as the recipe says.
    """
    if recipe.sparsity:
        progress("prune")
        model = _prune(model, recipe.sparsity, teaching)
    if recipe.clusters:
        progress("cluster")
        model = _cluster(model, recipe.clusters, bool(recipe.sparsity), teaching)
    if teaching.qat_steps:
        progress("train with fake quantization")
        model = _quantize(model, teaching, progress)
    return model


def _prune(model: tf_keras.Model, share: float, teaching: Teaching) -> tf_keras.Model:
    import tensorflow_model_optimization as mot

    keras, steps = mot.sparsity.keras, teaching.steps
    if share == 0.5:  # two of four neighbouring inputs, as kernels for it want them
        options: dict[str, Any] = {"sparsity_m_by_n": (2, 4)}
    else:
        end = max(1, int(steps * 0.7))
        ramp = keras.PolynomialDecay(0.0, share, 0, end, frequency=max(1, end // 20))
        options = {"pruning_schedule": ramp}

    def wrap(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        kernel = _kernel(layer)
        if kernel is None or (share == 0.5 and not _in_fours(kernel)):
            return layer
        return keras.prune_low_magnitude(layer, **options)

    wrapped_model = _wrapped(model, wrap)
    _fit(wrapped_model, teaching, steps, RATES["prune"], [keras.UpdatePruningStep()])
    return _with_weights(model, keras.strip_pruning(wrapped_model))


def _cluster(
    model: tf_keras.Model, clusters: int, sparse: bool, teaching: Teaching
) -> tf_keras.Model:
    import tensorflow_model_optimization as mot
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import (  # noqa: E501
        cluster,
    )

    keras = mot.clustering.keras
    init = keras.CentroidInitialization.KMEANS_PLUS_PLUS

    def wrap(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        kernel = _kernel(layer)
        if kernel is None or np.count_nonzero(kernel) < clusters * LEAST_SHARED:
            return layer
        return cluster.cluster_weights(layer, clusters, init, preserve_sparsity=sparse)

    wrapped_model = _wrapped(model, wrap)
    _fit(wrapped_model, teaching, teaching.steps, RATES["cluster"])
    return _with_weights(model, keras.strip_clustering(wrapped_model))


def _quantize(
    model: tf_keras.Model, teaching: Teaching, progress: Callable[[str], None]
) -> tf_keras.Model:
    quantized, _ = tfmot.annotated(float32_copy(model))
    tfmot.calibrate(quantized, [teaching.x], progress)
    _fit(quantized, teaching, teaching.qat_steps, RATES["quantize"])
    plain, _ = wrapped.stripped(quantized)
    return _with_weights(model, plain)


def _wrapped(model: tf_keras.Model, wrap: Callable) -> tf_keras.Model:
    """Returns a copy whose layers are wrapped."""
    copy = float32_copy(model)
    try:
        return tf_keras.models.clone_model(copy, clone_function=wrap)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ExportError(f"TF-MOT cannot wrap the model: {error}") from error


def _fit(
    model: tf_keras.Model, teaching: Teaching, steps: int, rate: float, callbacks=()
) -> None:
    model.compile(tf_keras.optimizers.Adam(rate), teaching.loss)
    each = math.ceil(len(teaching.x) / BATCH)
    epochs, rows = max(1, round(steps / each)), min(steps, each) * BATCH
    x, y = teaching.x[:rows], teaching.y[:rows]
    model.fit(x, y, BATCH, epochs, verbose=0, callbacks=list(callbacks))


def _with_weights(model: tf_keras.Model, source: tf_keras.Model) -> tf_keras.Model:
    """Returns a copy of a model with the weights of another of the same layers."""
    copy = float32_copy(model)
    for layer in copy.layers:
        if layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())
    return copy


def _kernel(layer: tf_keras.layers.Layer) -> np.ndarray | None:
    """Returns the kernel of a layer that may be pruned or clustered."""
    kinds = (tf_keras.layers.Dense, tf_keras.layers.Conv2D, tf_keras.layers.Conv1D)
    plain = isinstance(layer, kinds) and hasattr(layer, "kernel")
    depthwise = isinstance(layer, tf_keras.layers.DepthwiseConv2D)
    return layer.kernel.numpy() if plain and not depthwise else None


def _in_fours(kernel: np.ndarray) -> bool:
    """Whether TF-MOT can prune two of four inputs: not of Conv1D or few channels."""
    return kernel.ndim in (2, 4) and kernel.shape[-2] % 4 == 0


def outcome(graph: Graph, recipe: Recipe) -> Mapping[str, list[str]]:
    """Returns {"pruned_layers", "clustered_layers"}: what is as a recipe says.

    Raises:
      ExportError: no layer is.
    """
    found: dict[str, list[str]] = {}
    if recipe.sparsity:
        found["pruned_layers"] = []
    if recipe.clusters:
        found["clustered_layers"] = []
    for node in graph.nodes:
        if node.op not in KERNELS:
            continue
        kernel = graph.weights[node.weights["kernel"]]
        if recipe.sparsity and (kernel == 0).mean() >= recipe.sparsity - 0.02:
            found["pruned_layers"].append(node.layer)
        shared = len(np.unique(kernel)) <= recipe.clusters + 1  # 0 is one more
        if recipe.clusters and shared and kernel.size > recipe.clusters + 1:
            found["clustered_layers"].append(node.layer)
    lacking = [name for name, layers in found.items() if not layers]
    if lacking:
        raise ExportError(
            f"recipe {recipe.name!r}: the model has no {lacking}; make it of "
            "odl.compressed(model, recipe, ...), as tools/convert.py does"
        )
    return found
