"""Augmentation as a method takes it: the family of each input, and its random views."""

from __future__ import annotations

import dataclasses

import numpy as np

from tflite_odl.builtin.augment import ImageAugmentation, SensorAugmentation
from tflite_odl.builtin.random import Salts
from tflite_odl.errors import ModelError

Family = ImageAugmentation | SensorAugmentation
AUTO, NONE, IMAGES, SENSORS = "auto", "none", "images", "sensors"
AUGMENTS = (AUTO, NONE, IMAGES, SENSORS)


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Random changes of what is learned from, in the sensor's own units.

    Attributes:
      augment: the family: "images" [H, W, C], "sensors" [T, C], "none", or "auto", what
        fits the input's shape; None: "auto" where a method needs views, else "none".
      images: of a batch of images.
      sensors: of a batch of windows.
    """

    augment: str | None = None
    images: ImageAugmentation = dataclasses.field(default_factory=ImageAugmentation)
    sensors: SensorAugmentation = dataclasses.field(default_factory=SensorAugmentation)

    def __post_init__(self) -> None:
        if self.augment is not None and self.augment not in AUGMENTS:
            raise ModelError(f"augment {self.augment!r} is not one of {AUGMENTS}")

    def family(self, feature, default: str = NONE) -> Family | None:
        """Returns what changes an input, with the numbers that its scaling tells.

        Args:
          feature: a `methods.features.Feature`.
          default: in place of an `augment` of None.

        Raises:
          ModelError: the input cannot be augmented so.
        """
        kind = self.augment or default
        if kind == AUTO:
            kind = {3: IMAGES, 2: SENSORS}.get(len(feature.shape), kind)
        if kind == AUTO:
            raise ModelError(
                f"no augmentation fits an input {list(feature.shape)}: images are "
                "[H, W, C], windows of sensors [T, C]"
            )
        if kind == NONE:
            return None
        family = self._images(feature) if kind == IMAGES else self._sensors(feature)
        family.check(feature.shape)
        return family

    def _images(self, feature) -> ImageAugmentation:
        if feature.preprocessing.dtype != "uint8" and self.images.values is None:
            raise ModelError(
                "float32 images need their lowest and highest value to be augmented: "
                "give images.values (--image_values)"
            )
        return dataclasses.replace(self.images, values=self.images.range)

    def _sensors(self, feature) -> SensorAugmentation:
        if self.sensors.spread is not None:
            return self.sensors
        scale = np.atleast_1d(feature.preprocessing.scale)
        if not scale.all():
            raise ModelError(f"sensors scaled by {scale.tolist()} lose what they say")
        spread = tuple(map(float, np.abs(1 / scale)))
        spread = spread if len(spread) > 1 else spread[0]
        return dataclasses.replace(self.sensors, spread=spread)


@dataclasses.dataclass(frozen=True)
class View:
    """One random view of an input; two views of a step have salts of their own.

    Attributes:
      family: what it may change.
      salts: of its draws.
    """

    family: Family
    salts: tuple[int, int]

    @classmethod
    def of(cls, family: Family, salts: Salts, name: str) -> View:
        return cls(family, (salts(f"{name}/items"), salts(f"{name}/noise")))

    def draw(self, state, shape: tuple[int, ...]) -> dict:
        """Returns the numbers that it is made of; state: `random`, [2] int32."""
        return self.family.draw(state, self.salts, shape)

    def __call__(self, state, x):
        """Returns the view of x, [B, ...] float32 in the sensor's units."""
        return self.family.apply(x, self.draw(state, tuple(x.shape)))
