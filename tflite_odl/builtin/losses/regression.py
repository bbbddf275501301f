"""Regression: how far the model's output is from what is wanted."""

from __future__ import annotations

import dataclasses

from tflite_odl.builtin.lazy import tf
from tflite_odl.builtin.losses.base import FloatLoss, column, count, mean, total

# Below this squared length a vector has no direction, as in Keras.
SMALLEST_SQUARE = 1e-12


@dataclasses.dataclass(frozen=True)
class Regression(FloatLoss):
    """Base: the output is the prediction, whatever it ends in; the mean over the last
    axis of a function of the error e = z - y.

    Labels are [B, *P, D] float32, finite, or [B] for a single unit.
    """

    output = "predictions"
    options = ()

    def value(self, z, y, share):
        error, share = z - y, column(share) / self.outputs
        values, slopes = self.of_error(error)
        return total(values * share), slopes * share

    def of_error(self, error: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns (the function of each error, its slope)."""
        raise NotImplementedError(type(self).__name__)

    def predict(self, z):
        return z

    def metrics(self, z, y, labelled):
        """`absolute_error`: mean over the labelled places; `count`: of them."""
        off = tf.reduce_sum(tf.abs(z - y), -1) / self.outputs
        return {"absolute_error": mean(off, labelled), "count": count(labelled)}


@dataclasses.dataclass(frozen=True)
class MeanSquaredError(Regression):
    """l = mean_d e_d^2;  dl/dz_d = 2 e_d / D, D being the outputs."""

    def of_error(self, error):
        return error * error, error * 2.0


@dataclasses.dataclass(frozen=True)
class MeanAbsoluteError(Regression):
    """l = mean_d |e_d|;  dl/dz_d = sign(e_d) / D, 0 where e_d is."""

    def of_error(self, error):
        return tf.abs(error), tf.sign(error)


@dataclasses.dataclass(frozen=True)
class Huber(Regression):
    """l = mean_d h(e_d), h(e) = e^2 / 2 up to |e| = delta, delta (|e| - delta / 2) from
    there on; dl/dz_d = e_d, brought to between -delta and delta, / D.

    References: Huber, 1964, doi:10.1214/aoms/1177703732.
    """

    options = ("huber_delta",)

    def of_error(self, error):
        delta = self.huber_delta
        slope = tf.maximum(tf.minimum(error, delta), -delta)
        # e^2 / 2 or delta |e| - delta^2 / 2, whichever slope it is.
        return slope * (error - slope * 0.5), slope


@dataclasses.dataclass(frozen=True)
class CosineSimilarity(FloatLoss):
    """l = -cos(z, y), from -1, the same direction, to 1;
    dl/dz = (u cos - v) / |z|, u and v being z and y of length 1. A vector of zeros has
    the direction zero.

    Labels are [B, *P, D] float32, finite.
    """

    output = "predictions"
    options = ()

    def value(self, z, y, share):
        u, inverse, inside = _direction(z)
        v, _, _ = _direction(y)
        share = column(share)
        cosine = tf.reduce_sum(u * v, -1, keepdims=True)
        # Within the smallest length u is not of length 1, and its length may grow.
        return -total(cosine * share), (u * cosine * inside - v) * (inverse * share)

    def predict(self, z):
        return z

    def metrics(self, z, y, labelled):
        """`similarity`: mean cosine of the labelled places; `count`: of them."""
        cosine = tf.reduce_sum(_direction(z)[0] * _direction(y)[0], -1)
        return {"similarity": mean(cosine, labelled), "count": count(labelled)}


def _direction(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns (x / |x|, 1 / |x|, 1 where |x| is not taken as the smallest length)."""
    square = tf.reduce_sum(x * x, -1, keepdims=True)
    inverse = tf.math.rsqrt(tf.maximum(square, SMALLEST_SQUARE))
    return x * inverse, inverse, tf.cast(square > SMALLEST_SQUARE, tf.float32)
