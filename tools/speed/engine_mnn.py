"""MNN's training expressions: engine_mnn.py CASE THREADS SECONDS NET."""

import cases
import measuring
import MNN.expr as F
import MNN.nn as nn
import MNN.optim as optim
import nets
import numpy as np


class Net(nn.Module):
    """The layers of a net file; x [B, C, H, W] -> probabilities [B, classes].

    MNN's sizes are [W, H].
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.layers, weights = nets.read(path)
        self.made = {}
        for layer in self.layers:
            name = layer["name"]
            values = [w for key, w in weights.items() if key.startswith(f"{name}/")]
            if values:
                self.made[name] = getattr(self, f"_{layer['op']}")(layer, *values)
                setattr(self, name, self.made[name])  # makes its parameters learn

    def forward(self, x):
        found = {"x": x}
        for layer in self.layers:
            x, *others = (found[name] for name in layer["inputs"])
            if layer["name"] in self.made:
                x = self.made[layer["name"]](x)
            elif layer["op"] == "relu":
                x = F.relu6(x, 0.0, layer["limit"]) if layer["limit"] else F.relu(x)
            elif layer["op"] == "add":
                x = x + others[0]
            elif layer["op"] == "max_pool":
                x = F.max_pool(x, layer["size"][::-1], layer["size"][::-1])
            elif layer["op"] == "mean":
                # reduce_mean would end the gradient.
                size = x.shape[:1:-1]
                x = F.convert(F.avg_pool(x, size, size), F.NCHW)
                x = F.reshape(x, [-1, layer["out"][0]])
            found[layer["name"]] = x
        return F.softmax(x)

    def _conv(self, layer: dict, kernel, depthwise: bool = False):
        height, width, inputs, outputs = kernel.shape
        order = (2, 3, 0, 1) if depthwise else (3, 2, 0, 1)
        about = ([width, height], layer["strides"][::-1], [0, 0], [1, 1])
        channels = (inputs, inputs if depthwise else outputs)
        same = F.Padding_Mode.SAME
        module = nn.conv(*channels, *about, depthwise, False, same)
        return _load(module, kernel.transpose(order))

    def _depthwise(self, layer: dict, kernel):
        return self._conv(layer, kernel, depthwise=True)

    def _norm(self, layer: dict, *values):
        rank = 4
        module = nn.batch_norm(
            len(values[0]), rank, layer["momentum"], layer["epsilon"]
        )
        return _load(module, *(v.reshape(1, -1, 1, 1) for v in values))

    def _dense(self, layer: dict, kernel, bias):
        return _load(nn.linear(*kernel.shape), bias[None], kernel.T)


def _load(module, *values):
    """Returns the module with these weights; moving statistics stay constants."""
    wanted = [list(p.shape) for p in module.parameters]
    if wanted != [list(value.shape) for value in values]:
        raise ValueError(f"MNN wants {wanted}, got {[v.shape for v in values]}")
    found = [_constant(value) for value in values]
    for variable in found[:2]:
        variable.fix_as_trainable()
    module.load_parameters(found)
    return module


def _constant(value: np.ndarray, kind=F.float):
    return F.const(np.ascontiguousarray(value), list(value.shape), F.NCHW, kind)


def main(name: str, threads: int, seconds: float, path: str) -> None:
    before = measuring.resident_mb()
    F.lazy_eval(True)  # without it nothing learns, silently
    F.set_thread_number(threads)
    x, y = cases.data(cases.CASES[name])
    x, net = nets.image(x), Net(path)
    net.train(True)
    optimizer = optim.SGD(net, cases.LEARNING_RATE, 0.0, 0.0)

    def step() -> float:
        target = F.one_hot(_constant(y, F.int), cases.CLASSES)
        loss = nn.loss.cross_entropy(net.forward(_constant(x)), target)
        value = float(loss.read())
        optimizer.step(loss)
        return value

    measuring.report(measuring.measure(step, seconds, before), "MNN")


if __name__ == "__main__":
    main(*measuring.arguments())
