"""Recurrent layers in plain TensorFlow, step by step, by Keras' documentation."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

CURVES = {
    "tanh": tf.tanh,
    "sigmoid": tf.sigmoid,
    "relu": tf.nn.relu,
    "linear": tf.identity,
    "hard_sigmoid": lambda x: tf.clip_by_value(0.2 * x + 0.5, 0, 1),
}


def _steps(op, x: tf.Tensor, mask: tf.Tensor | None, states: int, step: Callable):
    """Returns the output of a cell: step(x_t, states) -> states, the first one out."""
    state = [tf.zeros([x.shape[0], op.a["units"]], x.dtype)] * states
    places = list(range(x.shape[1]))
    places = places[::-1] if op.a["backwards"] else places
    found = {}
    for t in places:
        new = step(x[:, t], state)
        if mask is not None:
            keep = mask[:, t, tf.newaxis] > 0
            new = [tf.where(keep, a, b) for a, b in zip(new, state, strict=True)]
        state = new
        found[t] = state[0]
    if not op.a["sequences"]:
        return state[0]
    order = sorted(places) if op.a["aligned"] else places
    return tf.stack([found[t] for t in order], 1)


def _split(op, role: str, parts: int) -> list[tf.Tensor]:
    return tf.split(op.weights[role], parts, -1)


def lstm(op, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    inner, outer = CURVES[op.a["recurrent_activation"]], CURVES[op.a["activation"]]
    kernels, recurrent = _split(op, "kernel", 4), _split(op, "recurrent", 4)
    zeros = [tf.zeros([op.a["units"]], x.dtype)] * 4
    biases = _split(op, "bias", 4) if "bias" in op.weights else zeros

    def step(x, state):
        h, c = state
        gates = zip(kernels, recurrent, biases, strict=True)
        i, f, g, o = (x @ w + h @ u + b for w, u, b in gates)
        c = inner(f) * c + inner(i) * outer(g)
        return [inner(o) * outer(c), c]

    return _steps(op, x, mask, 2, step)


def gru(op, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    inner, outer = CURVES[op.a["recurrent_activation"]], CURVES[op.a["activation"]]
    kernels, recurrent = _split(op, "kernel", 3), _split(op, "recurrent", 3)
    of_x = of_h = [tf.zeros([op.a["units"]], x.dtype)] * 3
    if "bias" in op.weights and op.a["reset_after"]:
        of_x, of_h = (tf.split(row, 3, -1) for row in tf.unstack(op.weights["bias"]))
    elif "bias" in op.weights:
        of_x = _split(op, "bias", 3)

    def step(x, state):
        (h,) = state
        xz, xr, xn = (x @ w + b for w, b in zip(kernels, of_x, strict=True))
        z = inner(xz + h @ recurrent[0] + of_h[0])
        r = inner(xr + h @ recurrent[1] + of_h[1])
        if op.a["reset_after"]:
            n = outer(xn + r * (h @ recurrent[2] + of_h[2]))
        else:
            n = outer(xn + (r * h) @ recurrent[2])
        return [z * h + (1 - z) * n]

    return _steps(op, x, mask, 1, step)


def simple(op, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    bias = op.weights.get("bias", tf.zeros([op.a["units"]], x.dtype))
    kernel, recurrent = op.weights["kernel"], op.weights["recurrent"]
    outer = CURVES[op.a["activation"]]
    step = lambda x, state: [outer(x @ kernel + state[0] @ recurrent + bias)]  # noqa: E731
    return _steps(op, x, mask, 1, step)
