"""Proves an int8 backbone: layer by layer what int8 arithmetic must give, and the whole
against TF-MOT's own model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tflite_odl.builtin import tape
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.quantized import Backbone
from tflite_odl.proof.candidate import ParityError
from tflite_odl.proof.references.backbone import run_alone

# A step of the range, and float32's own rounding of it: near the middle between two
# steps int8 and float32 arithmetic may fall on different sides.
ONE_STEP = 1.001


def prove(
    backbone: Backbone, everything: bytes, tfmot: Any, x: Sequence[np.ndarray]
) -> dict[str, float]:
    """Runs the backbone in LiteRT and compares it.

    Every layer is computed in TensorFlow from what LiteRT has made of the layers before
    it: rounding must not add up to be seen. The outputs are compared with TF-MOT's
    model where that quantizes alike; its depthwise kernels have one scale for all
    channels, ours one for each, so that there the difference is told, not judged.

    Args:
      backbone: with its own file, `alone`.
      everything: the `.tflite` of `backbone.everything()`.
      tfmot: TF-MOT's Keras model with fake quantization, up to the same layers.
      x: one [N, ...] float32 for each input.

    Returns:
      {figure: steps}: the largest of a layer, of an output from TF-MOT, and its mean.

    Raises:
      ParityError: a layer, or an output, is further off than one step.
    """
    names = list(backbone.everything().ends)
    actual = dict(zip(names, run_alone(everything)(x), strict=True))
    layer = max(_layer_off(backbone, name, actual) for name in names)
    outputs = run_alone(backbone.alone)(x)
    theirs = tf.nest.flatten(tfmot(list(x), training=False))
    off = [
        np.abs(ours - their.numpy()) / backbone.step(now)
        for ours, their, now in zip(
            outputs, theirs, backbone.ends.values(), strict=True
        )
    ]
    largest = float(max(one.max() for one in off))
    alike = "depthwise" not in [node.op for node in backbone.graph.nodes]
    if alike and largest > ONE_STEP:
        raise ParityError(
            f"the int8 backbone is {largest:.2f} steps off TF-MOT's, more than one"
        )
    return {
        "steps_of_a_layer": layer,
        "steps_from_tfmot": largest,
        "mean_steps_from_tfmot": float(np.mean([one.mean() for one in off])),
    }


def _layer_off(backbone: Backbone, name: str, actual: dict[str, np.ndarray]) -> float:
    """Returns how many steps a node is off, made of the actual values before it."""
    nodes = {node.name: node for node in backbone.graph.nodes}
    if nodes[name].op == "input":
        return 0.0
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
    off = float(np.abs(actual[name] - expected.numpy()).max() / backbone.step(name))
    if not off <= ONE_STEP:
        raise ParityError(
            f"int8 backbone, layer {nodes[name].layer!r}: LiteRT is {off:.2f} steps "
            "off what its inputs make in float32, more than one"
        )
    return off
