"""What the graph does to raw input before the first layer."""

from __future__ import annotations

import dataclasses

import numpy as np

from tflite_odl.builtin.lazy import tf
from tflite_odl.errors import ModelError

# Times the largest feature of known rows: a sensor that gives more is out of order, or
# of another unit, and one such row can undo all that was learned.
BEYOND = 100.0


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """x -> x * scale + offset, in float32.

    Attributes:
      dtype: "uint8", "float32", or "int32" of whole numbers below 2^24, as the sensor
        gives it.
      scale: one number, or one per channel.
      offset: likewise.
    """

    dtype: str = "float32"
    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        if self.dtype not in ("uint8", "float32", "int32"):
            raise ModelError(
                f"input dtype is uint8, float32 or int32, got {self.dtype!r}"
            )
        for name in ("scale", "offset"):
            value = np.asarray(getattr(self, name), np.float64)
            if value.ndim > 1 or not np.isfinite(value).all():
                raise ModelError(f"{name} is one finite number or one per channel")
            plain = float(value) if value.ndim == 0 else tuple(map(float, value))
            object.__setattr__(self, name, plain)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Returns x [B, ..., C] as the model's first layer takes it, float32."""
        x = tf.cast(x, tf.float32)
        if self.scale != 1.0:
            x = x * np.asarray(self.scale, np.float32)
        if self.offset != 0.0:
            x = x + np.asarray(self.offset, np.float32)
        return x

    def limit_of(self, x: np.ndarray) -> float | None:
        """Returns what no feature of a sound row is beyond, preprocessed.

        Args:
          x: [n, ...] rows as the sensor gives them.

        Returns:
          `BEYOND` times their largest, in three digits; None of integers, whose range
          is known, and of rows that are empty, zero, or not finite.
        """
        if x.dtype.kind != "f":
            return None
        scale, offset = (np.asarray(n, np.float32) for n in (self.scale, self.offset))
        largest = float(np.abs(x * scale + offset).max(initial=0.0))
        return float(f"{BEYOND * largest:.3g}") if 0 < largest < np.inf else None
