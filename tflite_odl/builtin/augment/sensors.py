"""Changes of inertial windows: order in time, orientation, channels, size, noise.

What changes the order in time is one GATHER of rows; what mixes channels is one C x C
matrix per window and one batched product.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tflite_odl.builtin import random
from tflite_odl.builtin.augment.draws import chosen, normal, order
from tflite_odl.builtin.lazy import tf
from tflite_odl.builtin.products import matmul
from tflite_odl.errors import ModelError

# What a window draws, a number each, in this order.
DRAWS = (
    "scale_radius",
    "scale_angle",
    "rotate",
    "axis_height",
    "axis_around",
    "turn",
    "negate",
    "time_flip",
    "permute",
    "shuffle",
)
AXES = 3
PROBABILITIES = ("rotate", "negate", "time_flip", "permute", "shuffle")


@dataclasses.dataclass(frozen=True)
class SensorAugmentation:
    """Changes of windows [B, T, C] of sensors with three axes each.

    In this order: segments permuted, time reversed; all groups of three axes rotated
    alike, as when the device is held otherwise, by any angle about any axis; channels
    shuffled, negated, scaled; noise added.

    Attributes:
      rotate: probability that a window is rotated.
      negate: that its sign is changed.
      time_flip: that it runs backwards.
      permute: that its segments come in another order.
      shuffle: that its channels change places.
      segments: equal parts of a window that `permute` puts in another order.
      scale: standard deviation of a window's factor about 1; 0 = none.
      jitter: standard deviation of the noise of each entry, in units of `spread`.
      spread: standard deviation of the data in the sensor's units: one number, or one
        per channel; None: 1, or what a method's preprocessing divides by.

    References: Um et al., 2017, arXiv:1706.00527; Tang et al., 2020, arXiv:2011.11542.
    """

    rotate: float = 1.0
    negate: float = 0.2
    time_flip: float = 0.2
    permute: float = 0.2
    shuffle: float = 0.2
    segments: int = 4
    scale: float = 0.1
    jitter: float = 0.05
    spread: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise ModelError(f"{name} is {getattr(self, name)}, needs 0 to 1")
        for name in ("scale", "jitter"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ModelError(f"{name} is {getattr(self, name)}, needs 0 or more")
        if self.segments < 2:
            raise ModelError(f"segments is {self.segments}, needs 2 or more")
        spread = np.atleast_1d(self.deviation)
        if spread.ndim > 1 or not (np.isfinite(spread).all() and (spread > 0).all()):
            raise ModelError(f"spread is {self.spread}, needs numbers above 0")

    @property
    def deviation(self) -> float | tuple[float, ...]:
        """Standard deviation of the data."""
        return 1.0 if self.spread is None else self.spread

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises ModelError if windows of the shape (T, C) cannot be augmented."""
        if len(shape) != 2:
            raise ModelError(
                f"sensor augmentation needs inputs [T, C], the model has {shape}: use "
                "the images' for [H, W, C]"
            )
        time, channels = shape
        if self.rotate and channels % AXES:
            raise ModelError(
                f"rotation needs groups of 3 axes, the windows have {channels} "
                "channels: set rotate=0"
            )
        if self.permute and time % self.segments:
            raise ModelError(
                f"windows of {time} rows are not {self.segments} equal segments: "
                "choose a divisor, or set permute=0"
            )
        if np.ndim(self.deviation) and len(self.deviation) != channels:
            raise ModelError(
                f"{len(self.deviation)} numbers of spread, {channels} channels"
            )

    def draw(
        self, state: tf.Tensor, salts: tuple[int, int], shape: tuple[int, int, int]
    ) -> dict[str, tf.Tensor]:
        """Returns uniform float32 in [0, 1) by name, what `apply` takes.

        `windows`' names are [B, 1], `segment_order` [B, segments], `channel_order`
        [B, C], `noise_radius` and `noise_angle` [B, T, C].

        Args:
          state: [2] int32, see `builtin.random`.
          salts: tell these draws, of windows and of noise, from others of the step.
          shape: B, T, C.
        """
        batch, time, channels = shape
        width = len(DRAWS) + self.segments + channels
        uniform = random.uniform(state, [batch, width], salts[0])
        found = {name: uniform[:, k : k + 1] for k, name in enumerate(DRAWS)}
        found["segment_order"] = uniform[:, len(DRAWS) : len(DRAWS) + self.segments]
        found["channel_order"] = uniform[:, len(DRAWS) + self.segments :]
        if self.jitter:
            noise = random.uniform(state, [batch, 2 * time, channels], salts[1])
            found["noise_radius"], found["noise_angle"] = tf.split(noise, 2, 1)
        return found

    def apply(self, x: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
        """Returns the windows changed, [B, T, C] float32, in the units of x.

        Args:
          x: [B, T, C] float32, finite, in the sensor's units: at rest a gyroscope
            says 0.
          draws: as `draw` returns them.
        """
        self.check(tuple(x.shape[1:]))
        if self.permute or self.time_flip:
            x = self._ordered(x, draws)
        if self.rotate or self.shuffle or self.negate or self.scale:
            x = matmul(x, self._mixing(x.shape[2], draws))
        if self.jitter:
            spread = np.asarray(self.deviation, np.float32) * np.float32(self.jitter)
            x = x + normal(draws["noise_radius"], draws["noise_angle"]) * spread
        return x

    def _ordered(self, x: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
        batch, time, channels = x.shape
        flip = tf.cast(chosen(draws["time_flip"], self.time_flip), tf.int32)
        row = np.arange(time, dtype=np.int32)
        source = row + flip * (row[::-1] - row)  # of the segments put in order
        if self.permute:
            source = self._permuted(source, time, draws)
        start = np.arange(batch, dtype=np.int32)[:, np.newaxis] * time
        rows = tf.reshape(source + start, [batch * time])
        flat = tf.gather(tf.reshape(x, [batch * time, channels]), rows)
        return tf.reshape(flat, [batch, time, channels])

    def _permuted(
        self, place: tf.Tensor, time: int, draws: dict[str, tf.Tensor]
    ) -> tf.Tensor:
        """Returns which row of the window comes to each place, [B, T] int32."""
        kept = 1.0 - chosen(draws["permute"], self.permute)
        segment = order(draws["segment_order"], kept)
        length, batch = time // self.segments, segment.shape[0]
        within = np.arange(length, dtype=np.int32)
        table = tf.reshape(segment * length, [batch, self.segments, 1]) + within
        start = np.arange(batch, dtype=np.int32)[:, np.newaxis] * time
        found = tf.gather(tf.reshape(table, [batch * time]), place + start)
        return tf.reshape(found, [batch, time])

    def _mixing(self, channels: int, draws: dict[str, tf.Tensor]) -> tf.Tensor:
        """Returns the matrices that rows of channels are multiplied by, [B, C, C]."""
        sign = 1.0 - 2.0 * chosen(draws["negate"], self.negate)
        factor = normal(draws["scale_radius"], draws["scale_angle"]) * self.scale + 1.0
        factor = tf.reshape(factor * sign, [-1, 1, 1])
        kept = 1.0 - chosen(draws["shuffle"], self.shuffle)
        to = order(draws["channel_order"], kept)
        mixing = tf.one_hot(to, channels, axis=1)  # row `from`, column `to`
        if self.rotate:
            mixing = matmul(self._rotation(channels, draws), mixing)
        return mixing * factor

    def _rotation(self, channels: int, draws: dict[str, tf.Tensor]) -> tf.Tensor:
        """Returns [B, C, C]: the same rotation for each three axes, transposed.

        About the unit vector k by the angle a: I + sin a K + (1 - cos a) K K, where K v
        is the cross product k x v (Rodrigues); k is uniform on the sphere.
        """
        height = draws["axis_height"] * 2.0 - 1.0
        beside = tf.sqrt(tf.nn.relu(1.0 - height * height))
        around = draws["axis_around"] * (2.0 * math.pi)
        axis = [beside * tf.cos(around), beside * tf.sin(around), height]
        angle = (draws["turn"] * 2.0 - 1.0) * math.pi
        angle = angle * chosen(draws["rotate"], self.rotate)
        cross = tf.concat(axis, 1) @ _cross_basis()
        cross = tf.reshape(cross, [-1, AXES, AXES])
        sin, cos = (tf.reshape(f(angle), [-1, 1, 1]) for f in (tf.sin, tf.cos))
        turned = cross * sin + matmul(cross, cross) * (1.0 - cos)
        turned = tf.reshape(turned, [-1, AXES * AXES]) @ _blocks(channels)
        return tf.reshape(turned, [-1, channels, channels]) + np.eye(
            channels, dtype=np.float32
        )


def _cross_basis() -> np.ndarray:
    """Returns [3, 9]: K transposed and flat, of each axis of the coordinate system."""
    matrices = [np.cross(np.eye(AXES), axis) for axis in -np.eye(AXES)]
    return np.stack([m.reshape(-1) for m in matrices]).astype(np.float32)


def _blocks(channels: int) -> np.ndarray:
    """Returns [9, C * C]: puts a 3 x 3 matrix on the diagonal of each three axes."""
    groups = np.eye(channels // AXES)
    entries = np.eye(AXES * AXES).reshape(-1, AXES, AXES)
    blocks = [np.kron(groups, entry).reshape(-1) for entry in entries]
    return np.stack(blocks).astype(np.float32)
