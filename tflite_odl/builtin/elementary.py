"""Elementary functions that models are written with: powers, logarithms, quotients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.activations import Elementwise, positive
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.smooth import normal_distribution
from tflite_odl.builtin.sums import sum_to

# Powers up to here are products; POW would leave the XNNPACK partition.
MOST_FACTORS = 8


class Absolute(Elementwise):
    """y = |x|; the slope is the sign, 0 at 0."""

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return tf.abs(x)

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        return positive(kept) - positive(-kept)


class Tamed(Elementwise):
    """An elementwise function that is not defined everywhere."""

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        return super().forward(site, [tamed(site, inputs[0])])


class Power(Tamed):
    """y = x ** exponent, a constant; the slope is exponent x ** (exponent - 1)."""

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return power(x, node.attributes["exponent"])

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        exponent = node.attributes["exponent"]
        return power(kept, exponent - 1.0) * exponent


class Logarithm(Tamed):
    """y = log x; the slope is 1 / x."""

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return tf.math.log(x)

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        return 1.0 / kept


class Sine(Elementwise):
    """y = sin x, of slope cos x."""

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return tf.sin(x)

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        return tf.cos(kept)


class Cosine(Elementwise):
    """y = cos x, of slope -sin x."""

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return tf.cos(x)

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        return -tf.sin(kept)


class ErrorFunction(Elementwise):
    """y = erf x; the slope is 2 / sqrt(pi) exp(-x^2)."""

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return 2.0 * normal_distribution(x * math.sqrt(2.0)) - 1.0

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        return tf.exp(-(kept * kept)) * (2 / math.sqrt(math.pi))


class Clip(Elementwise):
    """y = x between `low` and `high`, each None where there is no limit.

    The slope is 1 between them and 0 beyond; on a limit it is 1, or 0 if `open`.
    """

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        low, high = node.attributes["low"], node.attributes["high"]
        x = x if high is None else tf.minimum(x, high)
        return x if low is None else tf.maximum(x, low)

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        a, slope = node.attributes, 1.0
        for limit, sign in ((a["low"], 1.0), (a["high"], -1.0)):
            if limit is None:
                continue
            above = (kept - limit) * sign
            inside = positive(above) if a["open"] else 1.0 - positive(-above)
            slope = inside * slope
        return slope


class Divide(Lowering):
    """q = x / y with broadcasting; dx = dy / y, and that of the divisor -dx q."""

    name = "divide"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        x, y = inputs[0], tamed(site, inputs[1])
        q = x / y
        return Output(q, Residual(rows={"x": x, "y": y, "q": q}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        x, y, q = (residual.rows[name] for name in ("x", "y", "q"))
        share = gradient.dense() / y
        found = (sum_to(share, x.shape), sum_to(-share * q, y.shape))
        pairs = zip(found, site.wanted, strict=True)
        return Gradients([Gradient.of(g) if wanted else None for g, wanted in pairs])


def tamed(site: Site, x: tf.Tensor) -> tf.Tensor:
    """Returns x, in rows that do not count 1: what is made of their zeros may lie where
    a function is not defined or infinitely steep, and no product with 0 undoes that."""
    mask = site.run.rows.shaped(x.shape.rank)
    return x * mask + (1.0 - mask)


def power(x: tf.Tensor, exponent: float) -> tf.Tensor:
    """Returns x ** exponent: by products and a square root where it is a multiple of
    one half that is not large, else by POW."""
    whole = math.floor(exponent)
    if abs(whole) > MOST_FACTORS or exponent - whole not in (0.0, 0.5):
        return tf.pow(x, exponent)
    y = tf.sqrt(x) if exponent != whole else None
    if whole > 0:
        y = _product(x, whole) if y is None else _product(x, whole) * y
    elif whole < 0:
        y = (1.0 if y is None else y) / _product(x, -whole)
    return tf.ones_like(x) if y is None else y


def _product(x: tf.Tensor, factors: int) -> tf.Tensor:
    y = x
    for _ in range(factors - 1):
        y = y * x
    return y


FAMILIES = {
    "absolute": (Absolute(),),
    "power": (Power(),),
    "logarithm": (Logarithm(),),
    "sine": (Sine(),),
    "cosine": (Cosine(),),
    "error_function": (ErrorFunction(),),
    "clip": (Clip(),),
    "divide": (Divide(),),
}
