"""What the pooling lowerings share."""

from __future__ import annotations

import tensorflow as tf

from tflite_odl.builtin.masks import HUGE
from tflite_odl.builtin.window import Window


def padding_name(window: Window) -> str:
    """Returns the padding as the pooling ops know it; a layer has no other."""
    return "SAME" if any(map(any, window.padding)) else "VALID"


def below(x: tf.Tensor, largest: tf.Tensor) -> tf.Tensor:
    """Returns 1 where x is less than `largest`, which it never exceeds, else 0.

    A clipped product: a comparison would leave the XNNPACK partition.
    """
    return tf.clip_by_value((largest - x) * HUGE, -1.0, 1.0)
