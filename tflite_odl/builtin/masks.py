"""Masks by products: what comparisons would say, inside the XNNPACK partition."""

from __future__ import annotations

from tflite_odl.builtin.lazy import tf

# Times this, every normal positive float32 clips to 1 and zero stays 0.
HUGE = 1e38


def positive(x: tf.Tensor) -> tf.Tensor:
    """Returns 1 where x > 0, else 0, by a clipped product: a RELU and one MUL with a
    fused RELU_N1_TO_1, where GREATER and CAST would leave the XNNPACK partition."""
    return tf.clip_by_value(tf.nn.relu(x) * HUGE, -1.0, 1.0)
