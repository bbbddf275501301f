"""NT-Xent, the loss of SimCLR: value and gradient in closed form, over masked rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.products import matmul
from tflite_odl.builtin.zeros import zero_of

# Added to the squared length, so that a vector of zeros has a direction: zeros.
SMALLEST_SQUARE = 1e-12
# Added to a similarity that does not count: its exponential is zero.
EXCLUDED = -1e9


@dataclasses.dataclass(frozen=True)
class Normalized:
    """Rows of about unit length, z = u r, r = 1 / sqrt(|u|^2 + 1e-12).

    Attributes:
      z: [M, D] float32.
      inverse: r, [M, 1] float32.
    """

    z: tf.Tensor
    inverse: tf.Tensor

    def backward(self, dz: tf.Tensor) -> tf.Tensor:
        """Returns du = r (dz - z (z . dz)), [M, D]."""
        along = tf.reduce_sum(self.z * dz, 1, keepdims=True)
        return (dz - self.z * along) * self.inverse


def normalized(u: tf.Tensor) -> Normalized:
    """Returns rows [M, D] scaled to unit length; a row of zeros stays zeros."""
    square = tf.reduce_sum(u * u, 1, keepdims=True)
    inverse = tf.math.rsqrt(square + SMALLEST_SQUARE)
    return Normalized(u * inverse, inverse)


@dataclasses.dataclass(frozen=True)
class Contrast:
    """NT-Xent of a batch of pairs.

    Attributes:
      loss: [1] float32, 0 where no row counts.
      row_losses: [M] float32, the mean of a row's own two terms; 0 where it does not
        count.
      similarity: [M] float32, cos(z1_i, z2_i), of every row.
      dz1, dz2: [M, D] float32, the loss's gradient; 0 for rows that do not count.
    """

    loss: tf.Tensor
    row_losses: tf.Tensor
    similarity: tf.Tensor
    dz1: tf.Tensor
    dz2: tf.Tensor


def nt_xent(
    z1: tf.Tensor, z2: tf.Tensor, mask: tf.Tensor, temperature: float | tf.Tensor
) -> Contrast:
    """Returns the normalised, temperature-scaled cross-entropy of pairs of views.

    z = [z1; z2], s_ij = z_i . z_j / tau, p(i) the other view of i, m rows count:

        L = 1 / 2m sum_i (-s_ip(i) + ln sum_{j != i} exp s_ij)
        dL/dz_i = 1 / tau (sum_j (G_ij + G_ji) z_j - z_p(i) / m)
        G_ij = exp s_ij / (2m sum_{k != i} exp s_ik)

    Rows that do not count are in no sum. A single row has no other to differ from: its
    loss and gradient are 0.

    Args:
      z1, z2: [M, D] float32, rows of unit length, finite in every row.
      mask: [M] float32, 1 for a row that counts, 0 for padding and empty slots.
      temperature: tau, more than 0; a number or [1] float32.

    References: Chen et al., 2020, arXiv:2002.05709.
    """
    rows, size = z1.shape
    z, other = tf.concat([z1, z2], 0), tf.concat([z2, z1], 0)
    counted = tf.reshape(tf.concat([mask, mask], 0), [2 * rows, 1])
    share = counted / tf.maximum(tf.reduce_sum(counted, 0, keepdims=True), 1.0)
    cosine = tf.reduce_sum(z1 * z2, 1, keepdims=True)

    batch = tf.reshape(z, [1, 2 * rows, size])
    product = tf.reshape(matmul(batch, batch, transpose_b=True), [2 * rows, 2 * rows])
    scaled = product / temperature + _excluded(z, counted)
    highest = tf.reduce_max(scaled, 1, keepdims=True)
    weights = tf.exp(scaled - highest)
    total = tf.reduce_sum(weights, 1, keepdims=True)

    positive = tf.concat([cosine, cosine], 0) / temperature
    terms = (tf.math.log(total) + (highest - positive)) * counted
    shares = tf.reshape(weights * (share / total), [1, 2 * rows, 2 * rows])
    pulled = matmul(shares, batch) + matmul(shares, batch, transpose_a=True)
    pulled = tf.reshape(pulled, [2 * rows, size])
    dz = (pulled - other * (share * 2.0)) / temperature
    of_first, of_second = tf.split(terms, 2)
    return Contrast(
        tf.reduce_sum(tf.reshape(terms * share, [2 * rows]), 0, keepdims=True),
        tf.reshape(of_first + of_second, [rows]) * 0.5,
        tf.reshape(cosine, [rows]),
        *tf.split(dz, 2),
    )


def _excluded(z: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
    """Returns [2M, 2M]: a large negative number where j = i or j does not count.

    The diagonal is computed, max(0, 1 - (i - j)^2): a table would be stored in
    the file.
    """
    size = z.shape[0]
    place = np.arange(size, dtype=np.float32)
    apart = tf.reshape(zero_of(z) + place, [size, 1]) - place[np.newaxis]
    itself = tf.nn.relu(1.0 - apart * apart)
    return (itself + tf.reshape(1.0 - counted, [1, size])) * EXCLUDED
