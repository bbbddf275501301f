"""Augmentation in NumPy, item by item, given the numbers that a graph draws.

Nothing is shared with `builtin.augment` but the options and the uniform numbers, which
`tests/builtin/test_random.py` pins: crops are made pixel by pixel, colour changes one
after the other, rotations by quaternions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tflite_odl.builtin.augment import ImageAugmentation, SensorAugmentation

Draws = Mapping[str, np.ndarray]
YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def augmented(
    x: np.ndarray,
    draws: Draws,
    family: ImageAugmentation | SensorAugmentation,
    dtype: str = "float64",
) -> np.ndarray:
    """Returns the batch changed, each item by its own numbers.

    Args:
      x: [B, ...], as the sensor gives it.
      draws: {name: [B, ...]}, as the family draws them.
      family: with its options.
      dtype: to compute in.
    """
    change = image if isinstance(family, ImageAugmentation) else window
    x = np.asarray(x, dtype)
    drawn = {name: np.asarray(value, dtype) for name, value in draws.items()}
    items = [{name: value[b] for name, value in drawn.items()} for b in range(len(x))]
    return np.stack([change(one, u, family) for one, u in zip(x, items, strict=True)])


def image(x: np.ndarray, u: Draws, config: ImageAugmentation) -> np.ndarray:
    """Returns one image [H, W, C] changed."""
    x = _crop(x, u, config)
    if u["flip"] < config.flip:
        x = x[:, ::-1]
    if not config.colours:
        return x
    low, high = (x.dtype.type(end) for end in config.range)
    x = x - low
    if u["jitter"] < config.jitter:
        reach = 0.8 * config.strength
        names = ("brightness", "contrast", "saturation")
        b, c, s = (1 - reach + 2 * reach * u[name] for name in names)
        x = x * b
        mean = _luma(x).mean()
        x = (x - mean) * c + mean
        grey = _luma(x)[..., None]
        x = (x - grey) * s + grey
        x = _turned(x, (2 * u["hue"] - 1) * 0.2 * config.strength)
    if u["grey"] < config.grey:
        x = np.repeat(_luma(x)[..., None], 3, -1)
    return np.clip(x, 0, high - low) + low


def _crop(x: np.ndarray, u: Draws, config: ImageAugmentation) -> np.ndarray:
    height, width, _ = x.shape
    share = config.area[0] + (config.area[1] - config.area[0]) * u["area"]
    low, high = np.log(config.ratio).astype(x.dtype)
    ratio = np.exp(low + (high - low) * u["ratio"])
    tall = np.clip(np.sqrt(share * height * width / ratio), 1, height)
    wide = np.clip(np.sqrt(share * height * width * ratio), 1, width)
    top, left = (height - tall) * u["top"], (width - wide) * u["left"]
    p, q = (np.arange(size, dtype=x.dtype) for size in (height, width))
    y = np.clip(top + (p + 0.5) * tall / height - 0.5, 0, height - 1)
    z = np.clip(left + (q + 0.5) * wide / width - 0.5, 0, width - 1)
    return _between(_between(x, y, 0), z, 1)


def _between(x: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    """Returns an image at fractions of pixels along an axis, linearly."""
    below = places.astype(int)
    above = np.minimum(below + 1, x.shape[axis] - 1)
    part = np.expand_dims(places - below, (1, 2) if axis == 0 else (0, 2))
    return x.take(below, axis) * (1 - part) + x.take(above, axis) * part


def _luma(x: np.ndarray) -> np.ndarray:
    return x @ YIQ[0].astype(x.dtype)


def _turned(x: np.ndarray, circle: np.ndarray) -> np.ndarray:
    """Turns the colours in the plane of I and Q, grey staying grey."""
    yiq = YIQ.copy()
    yiq[1:] -= yiq[1:].mean(1, keepdims=True)
    y, i, q = np.moveaxis(x @ yiq.T.astype(x.dtype), -1, 0)
    cos, sin = np.cos(2 * np.pi * circle), np.sin(2 * np.pi * circle)
    mixed = np.stack([y, cos * i - sin * q, sin * i + cos * q], -1)
    return mixed @ np.linalg.inv(yiq).T.astype(x.dtype)


def window(x: np.ndarray, u: Draws, config: SensorAugmentation) -> np.ndarray:
    """Returns one window [T, C] changed."""
    if u["permute"] < config.permute:
        pieces = np.split(x, config.segments)
        x = np.concatenate([pieces[k] for k in _order(u["segment_order"])])
    if u["time_flip"] < config.time_flip:
        x = x[::-1]
    if u["rotate"] < config.rotate:
        groups = x.reshape(len(x), -1, 3)
        x = (groups @ _rotation(u).astype(x.dtype).T).reshape(x.shape)
    if u["shuffle"] < config.shuffle:
        x = x[:, _order(u["channel_order"])]
    if u["negate"] < config.negate:
        x = -x
    x = x * (1 + config.scale * _normal(u["scale_radius"], u["scale_angle"]))
    if config.jitter:
        noise = _normal(u["noise_radius"], u["noise_angle"])
        x = x + noise * np.asarray(config.deviation, x.dtype) * config.jitter
    return x


def _order(uniform: np.ndarray) -> np.ndarray:
    """Returns the places of the numbers, the largest first, equal ones as they are."""
    return np.argsort(-uniform, kind="stable")


def _rotation(u: Draws) -> np.ndarray:
    """Returns [3, 3] of a quaternion: cos a/2, k sin a/2."""
    z = 2 * u["axis_height"][0] - 1
    around = 2 * np.pi * u["axis_around"][0]
    side = np.sqrt(1 - z * z)
    half = (2 * u["turn"][0] - 1) * np.pi / 2
    w = np.cos(half)
    x, y, z = np.sin(half) * np.array([side * np.cos(around), side * np.sin(around), z])
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _normal(radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return np.sqrt(-2 * np.log(1 - radius)) * np.cos(2 * np.pi * angle)
