"""Vectors for writing trained weights into a serving twin.

What must come out is computed here by loops over single numbers, apart from the
library's arrays, so that the two can be held against each other.
"""

from __future__ import annotations

import itertools
import math
import struct

import numpy as np

F32 = np.float32
SIZE = 640
STATE = {
    # The first channel is next to nothing, its bias is not; the second has halves.
    "conv_kernel": np.float32(
        [[[[1e-12, 1.27, -0.5], [-2e-12, 0.005, 2.0]]]]
        + [[[[3e-12, -0.015, 1.5], [0.0, 0.025, -0.25]]]]
    ),
    "conv_bias": np.float32([3.0, -0.5, 0.25]),
    "norm_gamma": np.float32([1.5, 1.0, -0.75]),
    "norm_beta": np.float32([0.0, 0.5, -1.0]),
    "norm_mean": np.float32([0.25, 0.0, 2.0]),
    "norm_variance": np.float32([4.0, 0.999, 0.0]),
    "dense_kernel": np.float32([[0.5, -1.5, 0.1], [2.54, 0.01, -0.03]]),
    "head_kernel": np.float32([[1.0, 2.0], [-3.0, 0.5], [0.25, -0.125]]),
    "activations_seen": np.float32([2.5, 3.75, 0.5]),
}
FROZEN = np.float32([0.5, 2.0])
NORM = {
    "scale": "norm_gamma",
    "offset": "norm_beta",
    "mean": "norm_mean",
    "variance": "norm_variance",
    "epsilon": 0.001,
}
KERNEL = {
    "part": "kernel",
    "kernel": "conv_kernel",
    "bias": "conv_bias",
    "axes": [-1],
    "channels": 3,
    "steps": [],
}


def _dense(part: str) -> dict:
    return {
        "part": part,
        "kernel": "dense_kernel",
        "axes": [-1],
        "channels": 3,
        "steps": [],
    }


SERVING = {
    "file": "serve.tflite",
    "bytes": SIZE,
    "weights": [
        {
            **{"part": "kernel", "kernel": "conv_kernel", "bias": "conv_bias"},
            **{"axes": [-1], "channels": 3, "steps": [NORM]},
            **{"offset": 64, "order": [3, 0, 1, 2], "bytes": 48},
        },
        {
            **{"part": "bias", "kernel": "conv_kernel", "bias": "conv_bias"},
            **{"axes": [-1], "channels": 3, "steps": [NORM]},
            **{"offset": 112, "order": [0], "bytes": 12},
        },
        {
            **{"part": "kernel", "kernel": "head_kernel", "axes": [-1]},
            **{"channels": 2, "steps": [{"scale": "frozen", "epsilon": 0.0}]},
            **{"offset": 128, "order": [1, 0], "bytes": 24},
        },
    ],
    "constants": {"frozen": {"offset": 600, "shape": [2]}},
}
SPANS = [
    # Widened by what was seen on both ends; on one; by nothing; never above 0.
    {"name": "x", "low": -1.0, "high": 1.0, "seen": [0, 1]},
    {"name": "relu", "low": 0.0, "high": 4.0, "seen": [None, 2]},
    {"name": "sum", "low": 0.5, "high": 6.0, "seen": [None, None]},
    {"name": "dead", "low": 0.0, "high": 0.0, "seen": [None, None]},
]
LAYERS = [
    {
        **{"kernel": KERNEL, "bias": {**KERNEL, "part": "bias"}, "axes": [-1]},
        **{"source": "x", "offset": 256, "order": [3, 0, 1, 2], "scales": 272},
        **{"bias_offset": 288, "bias_scales": 304},
    },
    {
        **{"kernel": _dense("kernel"), "bias": None, "axes": []},
        **{"source": "relu", "offset": 320, "order": [1, 0], "scales": 328},
        **{"bias_offset": 336, "bias_scales": 352},
    },
]


HEAD = {
    **{"part": "kernel", "kernel": "head_kernel", "axes": [-1], "channels": 2},
    **{"steps": [], "order": [1, 0], "scale_axes": [-1]},
}
FEW = {
    "int8": {**HEAD, "offset": 64, "bytes": 6, "encoding": "int8", "scales": 72},
    "int4": {**HEAD, "offset": 80, "bytes": 3, "encoding": "int4", "scales": 88},
    "int2": {**HEAD, "offset": 96, "bytes": 2, "encoding": "int2", "scales": 104},
    "float16": {
        **{key: HEAD[key] for key in HEAD if key != "scale_axes"},
        **{"offset": 112, "bytes": 12, "encoding": "float16"},
    },
}
FEWER = {**SERVING, "weights": list(FEW.values())}


def twin() -> bytes:
    """Returns the file before; it is no model, for nothing reads it as one."""
    content = bytearray(i * 37 % 256 for i in range(SIZE))
    content[600:608] = FROZEN.astype("<f4").tobytes()
    return bytes(content)


def int8_serving() -> dict:
    spans = [
        {**span, "scale": 400 + 16 * k, "zero_point": 408 + 16 * k}
        for k, span in enumerate(SPANS)
    ]
    int8 = {"spans": spans, "layers": LAYERS, "seen": "activations_seen"}
    return {**SERVING, "int8": int8}


def baked(serving: dict) -> bytes:
    """Returns the file after."""
    out = bytearray(twin())
    if serving is FEWER:
        _write_few(out)
    else:
        _write_floats(out)
    steps = {}
    for span in serving.get("int8", {"spans": []})["spans"]:
        step, zero_point = _encoding(*_ends(span))
        steps[span["name"]] = step
        struct.pack_into("<f", out, span["scale"], step)
        struct.pack_into("<q", out, span["zero_point"], zero_point)
    for layer in serving.get("int8", {"layers": []})["layers"]:
        _write_layer(out, layer, steps[layer["source"]])
    return bytes(out)


def _write_floats(out: bytearray) -> None:
    factors, biases = [], []
    for c in range(3):
        deviation = np.sqrt(STATE["norm_variance"][c] + F32(0.001))
        factors.append(STATE["norm_gamma"][c] / deviation)
        shifted = (STATE["conv_bias"][c] - STATE["norm_mean"][c]) * factors[c]
        biases.append(shifted + STATE["norm_beta"][c])
    places = itertools.product(range(3), range(2), range(1), range(2))
    for at, (c, i, j, k) in enumerate(places):
        value = STATE["conv_kernel"][i, j, k, c] * factors[c]
        struct.pack_into("<f", out, 64 + 4 * at, value)
    struct.pack_into("<3f", out, 112, *biases)
    for at, (c, i) in enumerate(itertools.product(range(2), range(3))):
        value = STATE["head_kernel"][i, c] * FROZEN[c]
        struct.pack_into("<f", out, 128 + 4 * at, value)


def _write_few(out: bytearray) -> None:
    kernel = STATE["head_kernel"]
    for name, bits, levels, most in (
        ("int8", 8, 127.0, 127),
        ("int4", 4, 7.0, 7),
        ("int2", 2, 1.5, 1),
    ):
        held, scales = [], []
        for c in range(2):
            high = max(max(abs(float(w)) for w in kernel[:, c]), 1e-6)
            scales.append(float(F32(high)) / levels)
            for w in kernel[:, c]:
                held.append(max(-most, min(most, _away(float(w) / scales[-1]))))
        struct.pack_into("<2f", out, FEW[name]["scales"], *scales)
        number = sum((v % 2**bits) << (bits * at) for at, v in enumerate(held))
        size = FEW[name]["bytes"]
        at = FEW[name]["offset"]
        out[at : at + size] = number.to_bytes(size, "little")
    values = [float(kernel[i, c]) for c in range(2) for i in range(3)]
    struct.pack_into("<6e", out, FEW["float16"]["offset"], *values)


def _ends(span: dict) -> tuple[float, float]:
    seen, (below, above) = STATE["activations_seen"], span["seen"]
    low, high = span["low"], span["high"]
    if below is not None:
        low = min(low, -float(seen[below]))
    if above is not None:
        high = max(high, float(seen[above]))
    low, high = min(low, 0.0), max(high, 0.0)
    high = max(high, low + 0.001)
    step = (high - low) / 255
    below = math.floor(-low / step + 0.5)
    return float(F32(-below * step)), float(F32((255 - below) * step))


def _encoding(low: float, high: float) -> tuple[float, int]:
    step = (high - low) / 255
    return step, math.floor(-low / step + 0.5) - 128


def _write_layer(out: bytearray, layer: dict, step: float) -> None:
    kernel = STATE[layer["kernel"]["kernel"]]
    flat = kernel.reshape(-1, kernel.shape[-1])
    bias = [0.0] * 3
    if layer["bias"]:
        bias = [float(b) for b in STATE[layer["bias"]["bias"]]]
    needs = [
        max(
            max(abs(float(w)) for w in flat[:, c]),
            127 * abs(bias[c]) / (step * 2.0**30),
            1e-6,
        )
        for c in range(3)
    ]
    if not layer["axes"]:
        needs = [max(needs)] * 3
    scales = [float(F32(high)) / 127 for high in needs]
    held = [
        max(-127, min(127, _away(float(flat[i, c]) / scales[c])))
        for c in range(3)
        for i in range(len(flat))
    ]
    struct.pack_into(f"<{len(held)}b", out, layer["offset"], *held)
    count = 3 if layer["axes"] else 1
    struct.pack_into(f"<{count}f", out, layer["scales"], *scales[:count])
    biases = [_away(b / (s * step)) for b, s in zip(bias, scales)]
    struct.pack_into("<3i", out, layer["bias_offset"], *biases)
    scales = [s * step for s in scales[:count]]
    struct.pack_into(f"<{count}f", out, layer["bias_scales"], *scales)


def _away(x: float) -> int:
    return math.trunc(x + math.copysign(0.5, x))


def cases() -> tuple[list[dict], dict[str, bytes]]:
    """Returns (cases, {name of a good one: file after})."""
    serving = int8_serving()
    found = [
        {"name": "float32", "serving": SERVING},
        {"name": "int8", "serving": serving},
        {"name": "fewer bits", "serving": FEWER},
    ]
    after = {case["name"]: baked(case["serving"]) for case in found}
    first = SERVING["weights"][0]
    int8 = serving["int8"]
    bad = {
        "another size": {**SERVING, "bytes": SIZE + 1},
        "a place outside": {**SERVING, "weights": [{**first, "offset": SIZE - 4}]},
        "a place before": {**SERVING, "weights": [{**first, "offset": -4}]},
        "axes that are none": {
            **SERVING,
            "weights": [{**first, "order": [0, 0, 1, 2]}],
        },
        "a tensor the state lacks": {
            **SERVING,
            "weights": [{**first, "kernel": "another"}],
        },
        "a weight that is not finite": {
            **SERVING,
            "weights": [{**first, "steps": [{**NORM, "epsilon": -1.0}]}],
        },
        "an encoding that is none": {
            **SERVING,
            "weights": [{**FEW["int4"], "encoding": "int5"}],
        },
        "fewer bits without scales": {
            **SERVING,
            "weights": [{**FEW["float16"], "encoding": "int8"}],
        },
        "int8: reads from no span": {
            **serving,
            "int8": {**int8, "layers": [{**LAYERS[0], "source": "none"}]},
        },
        "int8: seen at no place": {
            **serving,
            "int8": {**int8, "spans": [{**int8["spans"][0], "seen": [0, 9]}]},
        },
        "int8: seen by no name": {**serving, "int8": {**int8, "seen": "another"}},
    }
    refused = [
        {"name": name, "serving": one, "refused": True} for name, one in bad.items()
    ]
    return found + refused, after
