"""PyTorch, channels last: engine_pytorch.py CASE THREADS SECONDS NET."""

import cases
import measuring
import nets
import torch
from torch.nn import functional as F


class Net(torch.nn.Module):
    """The layers of a net file; x [B, C, H, W] -> logits [B, classes]."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.layers, weights = nets.read(path)
        self.weights, self.moving = torch.nn.ParameterDict(), {}
        depthwise = {each["name"] for each in self.layers if each["op"] == "depthwise"}
        for name, value in weights.items():
            layer, number = name.split("/")
            if value.ndim == 4:
                order = (2, 3, 0, 1) if layer in depthwise else (3, 2, 0, 1)
                value = value.transpose(order).copy()
            tensor = torch.from_numpy(value.T.copy() if value.ndim == 2 else value)
            if value.ndim == 4:
                tensor = tensor.contiguous(memory_format=torch.channels_last)
            if int(number) >= 2:
                self.moving[name] = tensor
            else:
                self.weights[name] = torch.nn.Parameter(tensor)

    def forward(self, x):
        found = {"x": x}
        for layer in self.layers:
            inputs = [found[name] for name in layer["inputs"]]
            x = found[layer["name"]] = getattr(self, f"_{layer['op']}")(layer, *inputs)
        return x

    def _conv(self, layer, x, groups=1):
        (top, bottom), (left, right) = layer["pads"]
        kernel, pads = self.weights[f"{layer['name']}/0"], (top, left)
        if (top, left) != (bottom, right):
            x, pads = F.pad(x, (left, right, top, bottom)), 0
        return F.conv2d(x, kernel, None, layer["strides"], pads, groups=groups)

    def _depthwise(self, layer, x):
        return self._conv(layer, x, groups=x.shape[1])

    def _norm(self, layer, x):
        name, about = layer["name"], (True, 1 - layer["momentum"], layer["epsilon"])
        moving = (self.moving[f"{name}/2"], self.moving[f"{name}/3"])
        weights = (self.weights[f"{name}/0"], self.weights[f"{name}/1"])
        return F.batch_norm(x, *moving, *weights, *about)

    def _relu(self, layer, x):
        return F.relu6(x) if layer["limit"] else F.relu(x)

    def _add(self, layer, x, y):
        return x + y

    def _max_pool(self, layer, x):
        return F.max_pool2d(x, layer["size"])

    def _mean(self, layer, x):
        return x.mean((2, 3))

    def _dense(self, layer, x):
        name = layer["name"]
        return F.linear(x, self.weights[f"{name}/0"], self.weights[f"{name}/1"])


def main(name: str, threads: int, seconds: float, path: str) -> None:
    torch.set_num_threads(threads)
    before = measuring.resident_mb()
    x, y = cases.data(cases.CASES[name])
    x = torch.from_numpy(nets.image(x)).contiguous(memory_format=torch.channels_last)
    y, net = torch.from_numpy(y).long(), Net(path)
    optimizer = torch.optim.SGD(net.parameters(), cases.LEARNING_RATE)

    def step() -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    measuring.report(measuring.measure(step, seconds, before), "torch")


if __name__ == "__main__":
    main(*measuring.arguments())
