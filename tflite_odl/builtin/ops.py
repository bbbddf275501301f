"""The op families: which lowerings each op of a layer graph has, best first."""

from __future__ import annotations

from tflite_odl.builtin import activations, batch_norm, conv2d, dense, depthwise, shapes
from tflite_odl.builtin.lowering import Lowering

FAMILIES: dict[str, tuple[Lowering, ...]] = {
    "dense": dense.LOWERINGS,
    "conv2d": conv2d.LOWERINGS,
    "depthwise": depthwise.LOWERINGS,
    "batch_norm": batch_norm.LOWERINGS,
    "relu": (activations.Relu(),),
    "softmax": (activations.Softmax(),),
    "global_average_pool": (shapes.GlobalAveragePool(),),
    "add": (shapes.Add(),),
    "reshape": (shapes.Reshape(),),
    "zero_pad": (shapes.ZeroPad(),),
}
