"""A net as a file that every engine builds the same net from.

`nets.py NET PATH` writes one, which needs Keras; `read` and the rest run in every
engine's environment on NumPy. A net over time [T, C] is described as one over images
[T, 1, C].
"""

from __future__ import annotations

import json
import math
import os
import sys

import cases
import numpy as np


def read(path: str) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Returns (layers, {"<layer>/<number>": weight}), the weights as Keras keeps them.

    A layer is {"name", "op", "inputs": names of layers, "out": [H, W, C], ...}, in
    order; the input is named "x", the last layer gives the logits:

        conv, depthwise   kernel [kh, kw, ci, co] or [kh, kw, c, 1]; "strides",
                          "pads" [[top, bottom], [left, right]]
        norm              gamma, beta, moving mean, moving variance; "epsilon",
                          "momentum"
        relu              "limit", 6 or null;  max_pool "size";  add, mean
        dense             kernel [ci, co], bias [co]
    """
    with np.load(path) as file:
        weights = {name: file[name] for name in file.files}
    return json.loads(str(weights.pop("layers"))), weights


def image(x: np.ndarray) -> np.ndarray:
    """Returns the rows as images [B, C, H, W], as most engines want them."""
    x = x[:, :, None] if x.ndim == 3 else x
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def product_flops(path: str, batch: int) -> float:
    """Returns the operations in a step's matrix products.

    One product forward and two backward for each convolution and dense layer, one
    backward for the first; depthwise layers are no matrix products.
    """
    layers, weights = read(path)
    found = [layer for layer in layers if layer["op"] in ("conv", "dense")]
    macs = [
        weights[f"{layer['name']}/0"].size * math.prod(layer["out"][:-1])
        for layer in found
    ]
    return 2.0 * batch * (3 * sum(macs) - macs[0])


def write(net: cases.Net, path: str) -> None:
    """Writes the backbone with its seeded initial weights."""
    model, layers, weights = _backbone(net), [], {}
    for layer in model.layers[1:]:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        names = [tensor._keras_history.layer.name for tensor in inputs]
        about = {"name": layer.name, "inputs": names, **_describe(layer)}
        layers.append({**about, "out": _image(layer.output_shape)})
        for number, value in enumerate(layer.get_weights()):
            over_time = type(layer).__name__ == "Conv1D" and value.ndim == 3
            weights[f"{layer.name}/{number}"] = value[:, None] if over_time else value
    np.savez(f"{path}.new.npz", layers=json.dumps(layers), **weights)
    os.replace(f"{path}.new.npz", path)


def keras_model(case: cases.Case, path: str):
    """Returns the case's Keras model with the weights every engine starts from."""
    model, (_, weights) = _backbone(case.net), read(path)
    for layer in model.layers:
        present = layer.get_weights()
        layer.set_weights(
            [
                weights[f"{layer.name}/{n}"].reshape(v.shape)
                for n, v in enumerate(present)
            ]
        )
    return model


def _backbone(net: cases.Net):
    from tflite_odl import models

    return models.backbone(net.name, net.shape, cases.CLASSES, **dict(net.options))


def _describe(layer) -> dict:
    kind, input_shape = type(layer).__name__, layer.input_shape
    if kind in ("Conv2D", "Conv1D", "DepthwiseConv2D"):
        op = "depthwise" if kind == "DepthwiseConv2D" else "conv"
        sizes = [*layer.kernel_size, 1][:2]
        strides = [*layer.strides, 1][:2]
        pads = [_same(*each) for each in zip(_image(input_shape), sizes, strides)]
        return {"op": op, "strides": strides, "pads": pads}
    if kind == "BatchNormalization":
        return {"op": "norm", "epsilon": layer.epsilon, "momentum": layer.momentum}
    if kind == "ReLU":
        limit = None if layer.max_value is None else float(layer.max_value)
        return {"op": "relu", "limit": limit}
    if kind == "MaxPooling1D":
        return {"op": "max_pool", "size": [*layer.pool_size, 1]}
    plain = {"Add": "add", "Dense": "dense"}
    plain |= dict.fromkeys(("GlobalAveragePooling1D", "GlobalAveragePooling2D"), "mean")
    return {"op": plain[kind]}


def _image(shape: tuple[int | None, ...]) -> list[int]:
    """Returns [H, W, C] of a Keras shape [B, H, W, C] or [B, T, C], [C] of [B, C]."""
    return [shape[1], 1, shape[2]] if len(shape) == 3 else list(shape[1:])


def _same(size: int, kernel: int, stride: int) -> list[int]:
    """Returns Keras' SAME padding, [before, after]."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return [total // 2, total - total // 2]


if __name__ == "__main__":
    write(next(net for net in cases.NETS if net.name == sys.argv[1]), sys.argv[2])
