"""ONNX Runtime training, its on-device API:

engine_onnxruntime.py CASE THREADS SECONDS NET; 0 seconds make its artifacts, in a
folder beside the net, the others measure them.
"""

import os
import sys
import types

import cases
import measuring
import nets
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# The package imports PyTorch's half-precision wrappers, which nothing here uses.
for part in ("amp", "optim"):
    sys.modules[f"onnxruntime.training.{part}"] = types.ModuleType(part)
import onnxruntime
from onnxruntime.training import api, artifacts

OPSET = 15


def main(name: str, threads: int, seconds: float, path: str) -> None:
    case = cases.CASES[name]
    folder = os.path.join(os.path.dirname(path), f"{name}.onnx")
    if not seconds:
        return convert(case, path, folder)
    before = measuring.resident_mb()
    x, y = cases.data(case)
    x, y = nets.image(x), y.astype(np.int64)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    state = api.CheckpointState.load_checkpoint(f"{folder}/checkpoint")
    # Without an eval model: it is invalid with batch norm in training mode.
    module = api.Module(f"{folder}/training_model.onnx", state, session_options=options)
    optimizer = api.Optimizer(f"{folder}/optimizer_model.onnx", module)
    optimizer.set_learning_rate(cases.LEARNING_RATE)

    def step() -> float:
        loss = module(x, y)
        optimizer.step()
        module.lazy_reset_grad()
        return loss

    module.train()
    result = measuring.measure(step, seconds, before)
    return measuring.report(result, "onnxruntime-training", folder)


def convert(case: cases.Case, path: str, folder: str) -> None:
    graph, learned = Graph(), []
    layers, weights = nets.read(path)
    for layer in layers:
        getattr(graph, layer["op"])(layer, *layer["inputs"])
    depthwise = {layer["name"] for layer in layers if layer["op"] == "depthwise"}
    for name, value in weights.items():
        if value.ndim == 4:
            order = (2, 3, 0, 1) if name.split("/")[0] in depthwise else (3, 2, 0, 1)
            value = np.ascontiguousarray(value.transpose(order))
        graph.weights.append(numpy_helper.from_array(value, name))
        if name.split("/")[1] in "01":
            learned.append(name)
    x = nets.image(cases.data(case)[0])
    model = graph.model(x.shape, layers[-1])
    os.makedirs(folder, exist_ok=True)
    artifacts.generate_artifacts(
        model,
        requires_grad=learned,
        frozen_params=[name for name in weights if name not in learned],
        loss=artifacts.LossType.CrossEntropyLoss,
        optimizer=artifacts.OptimType.SGD,
        artifact_directory=folder,
    )


class Graph:
    """Collects the ONNX nodes of a net's layers, images [B, C, H, W]."""

    def __init__(self) -> None:
        self.nodes, self.weights = [], []

    def model(self, shape: tuple[int, ...], last: dict) -> onnx.ModelProto:
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        classes = (shape[0], *last["out"])
        logits = helper.make_tensor_value_info(last["name"], TensorProto.FLOAT, classes)
        graph = helper.make_graph(self.nodes, "net", [x], [logits], self.weights)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def _add(self, op: str, inputs: list[str], outputs: list[str], **options) -> None:
        self.nodes.append(helper.make_node(op, inputs, outputs, outputs[0], **options))

    def conv(self, layer: dict, x: str, groups: int = 1) -> None:
        name, ((top, bottom), (left, right)) = layer["name"], layer["pads"]
        about = {"strides": layer["strides"], "pads": [top, left, bottom, right]}
        self._add("Conv", [x, f"{name}/0"], [name], group=groups, **about)

    def depthwise(self, layer: dict, x: str) -> None:
        self.conv(layer, x, groups=layer["out"][-1])

    def norm(self, layer: dict, x: str) -> None:
        name, about = layer["name"], {k: layer[k] for k in ("epsilon", "momentum")}
        inputs = [x, *(f"{name}/{number}" for number in range(4))]
        outputs = [name, f"{name}_mean", f"{name}_variance"]
        self._add("BatchNormalization", inputs, outputs, training_mode=1, **about)

    def relu(self, layer: dict, x: str) -> None:
        name = layer["name"]
        if layer["limit"] is None:
            return self._add("Relu", [x], [name])
        for bound, value in (("low", 0.0), ("high", layer["limit"])):
            value = np.array(value, np.float32)
            self.weights.append(numpy_helper.from_array(value, f"{name}_{bound}"))
        return self._add("Clip", [x, f"{name}_low", f"{name}_high"], [name])

    def add(self, layer: dict, x: str, y: str) -> None:
        self._add("Add", [x, y], [layer["name"]])

    def max_pool(self, layer: dict, x: str) -> None:
        size = layer["size"]
        self._add("MaxPool", [x], [layer["name"]], kernel_shape=size, strides=size)

    def mean(self, layer: dict, x: str) -> None:
        self._add("GlobalAveragePool", [x], [f"{layer['name']}_pooled"])
        self._add("Flatten", [f"{layer['name']}_pooled"], [layer["name"]])

    def dense(self, layer: dict, x: str) -> None:
        name = layer["name"]
        self._add("Gemm", [x, f"{name}/0", f"{name}/1"], [name])


if __name__ == "__main__":
    main(*measuring.arguments())
