"""Lowerings of a graph that only infers, all of its weights constants of the file.

Forward alone, and each weight used as it is: so it stands in the file once, whole, in
some order of its axes, where `bake` can write another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import tensorflow as tf

from tflite_odl.builtin import plan, tape
from tflite_odl.builtin.conv2d.base import window_of
from tflite_odl.builtin.fold import ROUNDED_FIXED, SCALE_SHIFT
from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.builtin.lowering import Lowering, Output, Pass, Rows, Site
from tflite_odl.builtin.over_time import SUFFIX, OverTime
from tflite_odl.builtin.quantizers.steps import sign
from tflite_odl.builtin.recurrent.gru import ResetAfter, apart
from tflite_odl.builtin.recurrent.loop import State, product
from tflite_odl.builtin.sequences import on_sequences
from tflite_odl.builtin.space import cut, shifted


class Dense(Lowering):
    """y = x K + b: FULLY_CONNECTED."""

    name = "fully_connected"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        x, kernel = inputs[0], site.weights["kernel"]
        y = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), kernel)
        return Output(tf.reshape(_biased(site, y), [*x.shape[:-1], kernel.shape[-1]]))


class Convolution(Lowering):
    """CONV_2D, also of groups and dilated ones."""

    name = "convolution"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        return Output(
            _biased(site, _convolved(site, inputs[0], site.weights["kernel"]))
        )


class Depthwise(Lowering):
    """DEPTHWISE_CONV_2D; of strides that differ, a CONV_2D of one channel a group."""

    name = "depthwise"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        a, kernel = site.node.attributes, site.weights["kernel"]
        if a["strides"][0] != a["strides"][1]:
            kernel = tf.reshape(kernel, [*kernel.shape[:2], 1, -1])
            return Output(_biased(site, _convolved(site, inputs[0], kernel)))
        x, padding = window_of(site.node).padded(inputs[0])
        strides = [1, *a["strides"], 1]
        y = tf.nn.depthwise_conv2d(x, kernel, strides, padding, dilations=a["dilation"])
        return Output(_biased(site, y))


class Transposed(Lowering):
    """TRANSPOSE_CONV, then what the padding leaves of it."""

    name = "transpose_conv"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        x, kernel, window = inputs[0], site.weights["kernel"], window_of(site.node)
        (top, bottom), (left, right) = window.padding
        h, w = window.size
        whole = [x.shape[0], h + top + bottom, w + left + right, kernel.shape[2]]
        y = tf.nn.conv2d_transpose(x, kernel, whole, window.strides, "VALID")
        return Output(_biased(site, shifted(shifted(y, 1, top, h), 2, left, w)))


class Gru(ResetAfter):
    """A GRU whose two rows of biases stand in the file as one constant, so that they
    are added to both sides of a step at once."""

    def project(self, site: Site, x: tf.Tensor) -> State:
        return (product(x, site.weights["kernel"]),)

    def sides(self, site: Site, given: State, h: tf.Tensor) -> State:
        u = product(h, site.weights["recurrent"])
        shape = [h.shape[1], 1, u.shape[-1]]
        both = tf.concat([tf.reshape(side, shape) for side in (*given, u)], 1)
        both = _biased(site, both)
        flat = [tf.reshape(cut(both, 1, side, 1), u.shape) for side in (0, 1)]
        return (*apart(flat[0]), *apart(flat[1]))


class ScaleShift(Lowering):
    """y = x scale + offset over the last axis."""

    name = "scale_shift"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        return Output(inputs[0] * site.weights["scale"] + site.weights["offset"])


class Sign(Lowering):
    """y = sign(a), a clipped first, which costs nothing behind a convolution.

    The converter would take the large factor that makes signs into its weights.
    """

    name = "sign"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        return Output(sign(tf.clip_by_value(inputs[0], -1.0, 1.0)))


class RoundedFixed(Lowering):
    """y = round(clip(a, low, high) per_step), whole numbers of `Rounded`'s steps."""

    name = "rounded_fixed"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        w = site.weights
        clipped = tf.minimum(tf.maximum(inputs[0], w.get("low", 0.0)), w["high"])
        return Output(tf.round(clipped * w["per_step"]))


def _biased(site: Site, y: tf.Tensor) -> tf.Tensor:
    return y + site.weights["bias"] if "bias" in site.weights else y


def _convolved(site: Site, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    window = window_of(site.node)
    x, padding = window.padded(x)
    # The API function refuses strides with dilations; the op and LiteRT do not.
    return tf.raw_ops.Conv2D(
        input=x,
        filter=kernel,
        strides=[1, *window.strides, 1],
        padding=padding,
        dilations=[1, *window.dilation, 1],
    )


FAMILIES: dict[str, Lowering] = {
    "dense": Dense(),
    "conv2d": Convolution(),
    "conv1d": on_sequences([Convolution()])[0],
    "depthwise": Depthwise(),
    "depthwise1d": on_sequences([Depthwise()])[0],
    "conv2d_transpose": Transposed(),
    "conv1d_transpose": on_sequences([Transposed()])[0],
    "gru": Gru(),
    SCALE_SHIFT: ScaleShift(),
    ROUNDED_FIXED: RoundedFixed(),
    "sign": Sign(),
}


class Apart(Lowering):
    """Another lowering, which the converter can melt together with nothing around it.

    It would take a factor or a constant beside a convolution into the weights, which
    then stand nowhere in the file. Cutting in two and joining keeps it off.
    """

    def __init__(self, inner: Lowering) -> None:
        self.inner, self.name = inner, inner.name

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        output = self.inner.forward(site, list(map(_rejoined, inputs)))
        return Output(_rejoined(output.value))


def _rejoined(x: tf.Tensor) -> tf.Tensor:
    """Returns x by a SLICE and a CONCATENATION, along its first axis of two or more; of
    a single number, two of it are joined and one is cut off."""
    for axis, size in enumerate(x.shape):
        if size > 1:
            return tf.concat([cut(x, axis, 0, 1), cut(x, axis, 1, size - 1)], axis)
    return cut(tf.concat([x, x], 0), 0, 0, 1)


def lowering(graph: Graph, node: Node) -> Lowering:
    """Returns how a node with constant weights is run."""
    known = FAMILIES.get(node.op.removesuffix(SUFFIX))
    if known is not None and node.op.endswith(SUFFIX):
        known = OverTime(known)
    if known is not None and known.supports(node, graph.input_shapes(node)):
        return known
    return plan.candidates(graph, node)[0]


def serve(
    graph: Graph,
    inputs: Sequence[tf.Tensor],
    weights: Mapping[str, tf.Tensor] | None = None,
    apart: Collection[str] = (),
) -> tf.Tensor:
    """Returns the output [N, ...] of a folded graph.

    Args:
      graph: as `fold.folded` makes it.
      inputs: one [N, ...] float32 for each input node, N fixed.
      weights: {name: value} instead of the graph's own.
      apart: names of nodes that are kept apart from what is around them.
    """
    lowerings = {}
    for node in graph.nodes:
        if node.op != "input":
            chosen = lowering(graph, node)
            lowerings[node.name] = Apart(chosen) if node.name in apart else chosen
    run = Pass(False, Rows.of(tf.ones([inputs[0].shape[0]])))
    return tape.forward(graph, lowerings, weights or {}, inputs, run).output
