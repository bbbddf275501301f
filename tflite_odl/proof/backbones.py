"""Proves an int8 backbone: layer by layer what int8 arithmetic must give, and the whole
against TF-MOT's own model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tflite_odl.builtin import tape
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.quantized import Backbone
from tflite_odl.proof.candidate import ParityError
from tflite_odl.proof.references.backbone import run_alone

# A step of the range, and float32's own rounding of it: near the middle between two
# steps int8 and float32 arithmetic may fall on different sides.
ONE_STEP = 1.001
# Of the outputs from TF-MOT's model, on average, at least: such values add up, layer by
# layer. More is allowed where that model is itself further off the plain one.
MEAN_STEPS = 0.25


def prove(
    backbone: Backbone,
    everything: bytes,
    tfmot: Any,
    plain: Any,
    x: Sequence[np.ndarray],
) -> dict[str, float]:
    """Runs the backbone in LiteRT and compares it.

    Every layer is computed in TensorFlow from what LiteRT has made of the layers before
    it: rounding must not add up to be seen. The rows are put on the steps of their own
    range first, for halves of one are rounded to different sides.

    The outputs are compared with TF-MOT's model where that quantizes alike. Its
    depthwise kernels have one scale for all channels, ours one for each; its average
    pools a range of their own, which their kernel cannot have: there the difference is
    told, not judged.

    Args:
      backbone: with its own file, `alone`.
      everything: the `.tflite` of `backbone.everything()`.
      tfmot: TF-MOT's Keras model with fake quantization, up to the same layers.
      plain: that model without quantization.
      x: one [N, ...] float32 for each input.

    Returns:
      {figure: steps}: the largest of a layer, of an output from TF-MOT, the mean of
      that, and of TF-MOT's model from the plain one.

    Raises:
      ParityError: a layer is more than one step off, or the outputs are on average.
    """
    names = list(backbone.everything().ends)
    x = [one.numpy() for one in backbone.on_steps(list(map(tf.constant, x)))]
    actual = dict(zip(names, run_alone(everything)(x), strict=True))
    for node, rows in zip(backbone.graph.inputs, x, strict=True):
        check(backbone, node, actual[node.name], rows)
    inner = [n for n in backbone.graph.nodes if n.name in names and n.op != "input"]
    layer = max(layer_off(backbone, node.name, actual) for node in inner)
    outputs = run_alone(backbone.alone)(x)
    theirs, floats = (_outputs(model, x) for model in (tfmot, plain))
    off = _steps(backbone, outputs, theirs)
    mean = float(np.mean([one.mean() for one in off]))
    own = float(np.mean([one.mean() for one in _steps(backbone, theirs, floats)]))
    limit = max(MEAN_STEPS, own)
    ops = {node.op for node in backbone.graph.nodes}
    if mean > limit and not ops & {"depthwise", "average_pool"}:
        raise ParityError(
            f"the int8 backbone is {mean:.2f} steps off TF-MOT's on average, more than "
            f"{limit:.2f}"
        )
    return {
        "steps_of_a_layer": layer,
        "steps_from_tfmot": float(max(one.max() for one in off)),
        "mean_steps_from_tfmot": mean,
        "mean_steps_of_tfmot_from_float": own,
    }


def _outputs(model: Any, x: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [one.numpy() for one in tf.nest.flatten(model(list(x), training=False))]


def _steps(
    backbone: Backbone, ones: Sequence[np.ndarray], others: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Returns how many steps outputs are apart; of float ones, how far."""
    return [
        np.abs(one - other) / (backbone.step(now) or 1.0)
        for one, other, now in zip(ones, others, backbone.ends.values(), strict=True)
    ]


def layer_off(
    backbone: Backbone,
    name: str,
    actual: Mapping[str, np.ndarray],
    limit: float = ONE_STEP,
) -> float:
    """Returns how many steps a node is off, made of the actual values before it.

    Raises:
      ParityError: it is more than `limit`.
    """
    nodes = {n.name: n for n in backbone.graph.nodes}
    before = list(nodes)[: list(nodes).index(name) + 1]
    graph = dataclasses.replace(
        backbone.graph, nodes=tuple(nodes[name] for name in before)
    )
    given = {
        n: [tf.constant(v)] for n, v in actual.items() if n in before and n != name
    }
    run = Pass(False, Rows.of(tf.ones([len(actual[name])])))
    lowerings = backbone.lowerings()
    expected = tape.resume(graph, lowerings, {}, given, run).output
    return check(backbone, nodes[name], actual[name], expected.numpy(), limit)


def check(
    backbone: Backbone,
    node: Node,
    actual: np.ndarray,
    expected: np.ndarray,
    limit: float = ONE_STEP,
) -> float:
    """Returns how many steps a node's output is off what is expected, 0 if it has none.

    Raises:
      ParityError: it is more than `limit`.
    """
    off = np.abs(actual - np.asarray(expected)).max()
    off = float(off / (backbone.step(node.name) or np.inf))
    if not off <= limit:
        raise ParityError(
            f"int8, layer {node.layer!r}: LiteRT is {off:.2f} steps off what its "
            f"inputs make in float32, more than {limit:.0f}"
        )
    return off
