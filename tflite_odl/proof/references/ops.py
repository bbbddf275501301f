"""Every op of a layer graph in TensorFlow's own ops: what a layer is compared with.

In whichever float dtype the inputs have; gradients are TensorFlow's. Nothing is shared
with the lowerings but the meaning of a node's attributes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin import dropout
from tflite_odl.builtin.graph import Node
from tflite_odl.proof.references import quantized

Weights = Mapping[str, tf.Tensor]


class Op:
    """One node with its weights, on some rows.

    Args:
      node: of a layer graph.
      weights: {role: value}.
      mask: [B] bool, rows that count.
      random: [2] int32, the state that dropout is drawn from.
    """

    def __init__(
        self, node: Node, weights: Weights, mask: np.ndarray, random: np.ndarray
    ) -> None:
        self.node, self.weights, self.mask, self.random = node, weights, mask, random
        self.a = node.attributes

    def __call__(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Returns the node's output in training."""
        y = OPS[self.node.op](self, *inputs)
        return tf.reshape(y, [inputs[0].shape[0], *self.node.shape])

    def biased(self, y: tf.Tensor) -> tf.Tensor:
        return y + self.weights["bias"] if "bias" in self.weights else y


def _image(x: tf.Tensor) -> tf.Tensor:
    """Returns a sequence as an image one pixel high, an image as it is."""
    return x if x.shape.rank == 4 else x[:, tf.newaxis]


def _kernel(op: Op) -> tf.Tensor:
    """Returns the kernel as that of an image, with its holes if it is dilated."""
    kernel = op.weights["kernel"]
    kernel = kernel if kernel.shape.rank == 4 else kernel[tf.newaxis]
    for axis, gap in enumerate(op.a["dilation"]):
        taps = kernel.shape[axis]
        places = np.zeros(((taps - 1) * gap + 1, taps))
        places[np.arange(taps) * gap, np.arange(taps)] = 1
        spread = tf.tensordot(tf.constant(places, kernel.dtype), kernel, [[1], [axis]])
        kernel = tf.experimental.numpy.moveaxis(spread, 0, axis)
    return kernel


def _padded(op: Op, x: tf.Tensor) -> tf.Tensor:
    return tf.pad(_image(x), [(0, 0), *op.a["padding"], (0, 0)])


def _conv(op: Op, x: tf.Tensor) -> tf.Tensor:
    groups, kernel, strides = op.a["groups"], _kernel(op), op.a["strides"]
    x = _padded(op, x)
    if kernel.shape[:2] == (1, 1):
        x, strides = x[:, :: strides[0], :: strides[1]], (1, 1)
    pairs = zip(tf.split(x, groups, 3), tf.split(kernel, groups, 3), strict=True)
    parts = [tf.nn.conv2d(part, k, strides, "VALID") for part, k in pairs]
    return op.biased(tf.concat(parts, 3))


def _transposed(op: Op, x: tf.Tensor) -> tf.Tensor:
    kernel, x = _kernel(op), _image(x)
    (top, bottom), (left, right) = op.a["padding"]
    h, w = op.a["size"]
    shape = [x.shape[0], top + h + bottom, left + w + right, kernel.shape[2]]
    y = tf.nn.conv2d_transpose(x, kernel, shape, op.a["strides"], "VALID")
    return op.biased(y[:, top : top + h, left : left + w])


def _depthwise(op: Op, x: tf.Tensor) -> tf.Tensor:
    sh, sw = op.a["strides"]
    y = tf.nn.depthwise_conv2d(_padded(op, x), _kernel(op), [1, 1, 1, 1], "VALID")
    return op.biased(y[:, ::sh, ::sw])


def _dense(op: Op, x: tf.Tensor) -> tf.Tensor:
    return op.biased(tf.tensordot(x, op.weights["kernel"], 1))


def _batch_norm(op: Op, x: tf.Tensor) -> tf.Tensor:
    if op.a["statistics"] == "batch":
        axes = list(range(x.shape.rank - 1))
        mean, variance = tf.nn.moments(tf.boolean_mask(x, op.mask), axes)
    else:
        mean, variance = op.weights["moving_mean"], op.weights["moving_variance"]
    beta, gamma = op.weights.get("beta"), op.weights.get("gamma")
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, op.a["epsilon"])


def _pool(function: Callable) -> Callable:
    def pool(op: Op, x: tf.Tensor) -> tf.Tensor:
        name = "SAME" if any(map(any, op.a["padding"])) else "VALID"
        return function(_image(x), op.a["kernel"], op.a["strides"], name)

    return pool


def _over_pixels(function: Callable) -> Callable:
    return lambda op, x: function(x, list(range(1, x.shape.rank - 1)))


def _relu(op: Op, x: tf.Tensor) -> tf.Tensor:
    return (
        tf.nn.relu(x)
        if op.a["limit"] is None
        else tf.clip_by_value(x, 0, op.a["limit"])
    )


def _thresholded(op: Op, x: tf.Tensor) -> tf.Tensor:
    t, limit = op.a["threshold"], op.a["limit"]
    above = x if limit is None else tf.minimum(x, tf.constant(limit, x.dtype))
    return tf.where(x > t, above, op.a["alpha"] * (x - t))


def _elu(op: Op, x: tf.Tensor) -> tf.Tensor:
    below = op.a["alpha"] * (tf.exp(tf.minimum(x, 0)) - 1)
    return op.a["scale"] * tf.where(x > 0, x, below)


def _affine(op: Op, x: tf.Tensor) -> tf.Tensor:
    for name, apply in (("scale", tf.multiply), ("offset", tf.add)):
        if op.a.get(name) is not None:
            x = apply(x, tf.cast(np.asarray(op.a[name], np.float32), x.dtype))
    return x


def _prelu(op: Op, x: tf.Tensor) -> tf.Tensor:
    return tf.where(x > 0, x, op.weights["alpha"] * x)


def _row_norm(op: Op, x: tf.Tensor) -> tf.Tensor:
    folded = op.a["folded"]
    x = tf.reshape(x, [x.shape[0], *folded])
    mean, variance = tf.nn.moments(x, op.a["axes"], keepdims=True)
    shape = folded[len(folded) - op.a["parameters"] :]
    beta, gamma = (
        tf.reshape(op.weights[role], shape) if role in op.weights else None
        for role in ("beta", "gamma")
    )
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, op.a["epsilon"])


def _sum(op: Op, *xs: tf.Tensor) -> tf.Tensor:
    factors = op.a.get("factors", (1.0,) * len(xs))
    return sum(x * factor for x, factor in zip(xs, factors, strict=True))


def _product(op: Op, *xs: tf.Tensor) -> tf.Tensor:
    y = xs[0]
    for x in xs[1:]:
        y = y * x
    return y


def _extremum(op: Op, *xs: tf.Tensor) -> tf.Tensor:
    y = xs[0]
    for x in xs[1:]:
        y = tf.maximum(y, x) if op.a["sign"] > 0 else tf.minimum(y, x)
    return y


def _zero_pad(op: Op, x: tf.Tensor) -> tf.Tensor:
    inner = [(0, 0), *op.a["padding"]]
    return tf.pad(x, [*inner, *[(0, 0)] * (x.shape.rank - len(inner))])


def _slice(op: Op, x: tf.Tensor) -> tf.Tensor:
    places = [slice(b, b + (n - 1) * s + 1, s) for b, s, n in op.a["ranges"]]
    return x[(slice(None), *places)]


def _repeat(op: Op, x: tf.Tensor) -> tf.Tensor:
    return tf.repeat(x[:, tf.newaxis], op.node.shape[0], axis=1)


def _nearest(op: Op, x: tf.Tensor) -> tf.Tensor:
    sh, sw = op.a["size"]
    return tf.repeat(tf.repeat(x, sh, axis=1), sw, axis=2)


def _bilinear(op: Op, x: tf.Tensor) -> tf.Tensor:
    for axis, factor in enumerate(op.a["size"], 1):
        size = x.shape[axis]
        at = (np.arange(size * factor) + 0.5) / factor - 0.5
        at = np.clip(at, 0, size - 1)
        low = np.minimum(at.astype(int), max(size - 2, 0))
        places = np.zeros((size * factor, size))
        rows = np.arange(size * factor)
        places[rows, low] += 1 - (at - low)
        places[rows, np.minimum(low + 1, size - 1)] += at - low
        y = tf.tensordot(tf.constant(places, x.dtype), x, [[1], [axis]])
        x = tf.experimental.numpy.moveaxis(y, 0, axis)
    return x


def _resize(op: Op, x: tf.Tensor) -> tf.Tensor:
    rows, columns = (tf.constant(op.a[k], x.dtype) for k in ("rows", "columns"))
    return tf.einsum("ih,jw,bhwc->bijc", rows, columns, x)


def _one_hot(op: Op, x: tf.Tensor) -> tf.Tensor:
    return tf.one_hot(tf.cast(x, tf.int32), op.node.shape[-1], dtype=x.dtype)


def _digitize(op: Op, x: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.searchsorted(op.a["bounds"], x, side="right"), x.dtype)


def _uniforms(op: Op, x: tf.Tensor) -> list[tf.Tensor]:
    state = tf.constant(op.random)
    draws = dropout.uniforms(op.node, state, x.shape[0])
    return [tf.cast(draw, x.dtype) for draw in draws]


def _dropout(op: Op, x: tf.Tensor) -> tf.Tensor:
    if "rate" not in op.a:
        return x * _normal(op, x)
    (uniform,) = _uniforms(op, x)
    return tf.where(uniform >= op.a["rate"], x / (1 - op.a["rate"]), 0 * x)


def _alpha_dropout(op: Op, x: tf.Tensor) -> tf.Tensor:
    (uniform,) = _uniforms(op, x)
    rate, low = op.a["rate"], op.a["low"]
    a = ((1 - rate) * (1 + rate * low**2)) ** -0.5
    return a * tf.where(uniform >= rate, x, low + 0 * x) - a * low * rate


def _normal(op: Op, x: tf.Tensor) -> tf.Tensor:
    radius, angle = _uniforms(op, x)
    normal = tf.sqrt(-2 * tf.math.log(1 - radius)) * tf.cos(2 * math.pi * angle)
    return op.a["mean"] + op.a["stddev"] * normal


def _rounded(op: Op, x: tf.Tensor) -> tf.Tensor:
    bits, signed = op.a["bits"], op.a["signed"]
    return quantized.rounded(x, op.weights["range"], bits, signed)[0]


def _clip(op: Op, x: tf.Tensor) -> tf.Tensor:
    """Limits as the first argument of a maximum or minimum take a tie's gradient."""
    for limit, choose in ((op.a["high"], tf.minimum), (op.a["low"], tf.maximum)):
        if limit is not None:
            pair = (x, tf.constant(limit, x.dtype))
            x = choose(*(reversed(pair) if op.a["open"] else pair))
    return x


def _tamed(op: Op, x: tf.Tensor) -> tf.Tensor:
    """Returns x, in rows that do not count 1, where every function is defined."""
    rows = tf.reshape(tf.constant(op.mask), [-1] + [1] * (x.shape.rank - 1))
    return tf.where(rows, x, tf.ones_like(x))


def _power(op: Op, x: tf.Tensor) -> tf.Tensor:
    return tf.pow(_tamed(op, x), tf.constant(op.a["exponent"], x.dtype))


def _reduced_sum(op: Op, x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(x, op.a["axes"]) * op.a["factor"]


def _reduced_extremum(op: Op, x: tf.Tensor) -> tf.Tensor:
    reduce = tf.reduce_max if op.a["sign"] > 0 else tf.reduce_min
    return reduce(x, op.a["axes"])


def _of(function: Callable) -> Callable:
    return lambda op, x: function(x)


# Places of inputs that an op is tried with positive values of, away from 0: for others
# it is not defined, or as steep as one likes.
POSITIVE: dict[str, tuple[int, ...]] = {
    "power": (0,),
    "logarithm": (0,),
    "divide": (1,),
}

OPS: dict[str, Callable[..., tf.Tensor]] = {
    "dense": _dense,
    "conv2d": _conv,
    "conv1d": _conv,
    "conv2d_transpose": _transposed,
    "conv1d_transpose": _transposed,
    "depthwise": _depthwise,
    "depthwise1d": _depthwise,
    "batch_norm": _batch_norm,
    "max_pool": _pool(tf.nn.max_pool2d),
    "max_pool1d": _pool(tf.nn.max_pool2d),
    "average_pool": _pool(tf.nn.avg_pool2d),
    "average_pool1d": _pool(tf.nn.avg_pool2d),
    "global_average_pool": _over_pixels(tf.reduce_mean),
    "global_average_pool1d": _over_pixels(tf.reduce_mean),
    "global_max_pool": _over_pixels(tf.reduce_max),
    "global_max_pool1d": _over_pixels(tf.reduce_max),
    "relu": _relu,
    "leaky_relu": lambda op, x: tf.where(x > 0, x, op.a["alpha"] * x),
    "thresholded_relu": _thresholded,
    "hard_sigmoid": _of(lambda x: tf.clip_by_value(0.2 * x + 0.5, 0, 1)),
    "relu6_sigmoid": _of(lambda x: tf.clip_by_value(x + 3.0, 0, 6) / 6),
    "softmax": _of(tf.nn.softmax),
    "sigmoid": _of(tf.sigmoid),
    "tanh": _of(tf.tanh),
    "silu": _of(lambda x: x * tf.sigmoid(x)),
    "elu": _elu,
    "gelu": _of(lambda x: x * 0.5 * (1 + tf.math.erf(x / math.sqrt(2)))),
    "tanh_gelu": _of(lambda x: tf.nn.gelu(x, approximate=True)),
    "softplus": _of(tf.math.softplus),
    "mish": _of(lambda x: x * tf.tanh(tf.math.softplus(x))),
    "softsign": _of(tf.nn.softsign),
    "exponential": _of(tf.exp),
    "absolute": _of(tf.abs),
    "power": _power,
    "logarithm": lambda op, x: tf.math.log(_tamed(op, x)),
    "sine": _of(tf.sin),
    "cosine": _of(tf.cos),
    "error_function": _of(tf.math.erf),
    "clip": _clip,
    "divide": lambda op, x, y: x / _tamed(op, y),
    "reduce_sum": _reduced_sum,
    "reduce_extremum": _reduced_extremum,
    "affine": _affine,
    "scale": lambda op, x: x * op.weights["gamma"],
    "prelu": _prelu,
    "row_norm": _row_norm,
    "unit_norm": lambda op, x: tf.nn.l2_normalize(x, op.a["axes"]),
    "add": _sum,
    "multiply": _product,
    "extremum": _extremum,
    "concatenate": lambda op, *xs: tf.concat(xs, op.a["axis"]),
    "reshape": _of(lambda x: x),
    "permute": lambda op, x: tf.transpose(x, [0, *op.a["order"]]),
    "zero_pad": _zero_pad,
    "zero_pad_1d": _zero_pad,
    "slice": _slice,
    "repeat": _repeat,
    "upsample_nearest": _nearest,
    "upsample_bilinear": _bilinear,
    "resize": _resize,
    "one_hot": _one_hot,
    "digitize": _digitize,
    "dropout": _dropout,
    "alpha_dropout": _alpha_dropout,
    "noise": lambda op, x: x + _normal(op, x),
    "sign": _of(quantized.sign),
    "rounded": _rounded,
}
