"""Sign and step by clipped products: exact for every float, and all of it XNNPACK's.

SIGN, SELECT and GREATER with CAST would leave the XNNPACK partition. One product with a
large number leaves denormal values below 1; the second one brings them there, too, in
kernels that do not take them for 0. XNNPACK's and TensorFlow's do.
"""

from __future__ import annotations

import tensorflow as tf

# Its square times the least denormal float32 is above 1.
HUGE = 1e38


def sign(x: tf.Tensor) -> tf.Tensor:
    """Returns 1 where x >= 0, else -1: sign(0) = sign(-0) = +1."""
    return _clipped(_signum(x) * 2.0 + 1.0)


def above(x: tf.Tensor) -> tf.Tensor:
    """Returns 1 where x > 0, else 0."""
    return _signum(tf.nn.relu(x))


def _signum(x: tf.Tensor) -> tf.Tensor:
    """Returns 1, 0 or -1."""
    return _clipped(_clipped(x * HUGE) * HUGE)


def _clipped(x: tf.Tensor) -> tf.Tensor:
    """Returns x between -1 and 1, a RELU_N1_TO_1 fused into the op before it."""
    return tf.clip_by_value(x, -1.0, 1.0)
