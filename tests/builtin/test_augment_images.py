"""Image augmentation against an independent NumPy one given the same numbers."""

import numpy as np
import pytest
import tensorflow as tf

from tests.builtin import lite
from tflite_odl.builtin import random
from tflite_odl.builtin.augment import ImageAugmentation
from tflite_odl.errors import ModelError

# Pixels to 255 through two interpolations and a 3 x 3 matrix, in float32: 1e-6 each.
CLOSE = {"rtol": 0, "atol": 1e-3}
YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def numpy_images(x, draws, config):
    """The same images one by one, pixel by pixel, colour change by colour change."""
    x = np.asarray(x, np.float64)
    draws = {name: np.float64(value)[:, 0] for name, value in draws.items()}
    rows = [{name: v[b] for name, v in draws.items()} for b in range(len(x))]
    return np.stack([numpy_image(i, u, config) for i, u in zip(x, rows)])


def numpy_image(image, u, config):
    image = numpy_crop(image, u, config)
    if u["flip"] < config.flip:
        image = image[:, ::-1]
    if not config.colours:
        return image
    low, high = config.values
    image = image - low
    if u["jitter"] < config.jitter:
        reach = 0.8 * config.strength
        b, c, s = (
            1 - reach + 2 * reach * u[name]
            for name in ("brightness", "contrast", "saturation")
        )
        image = image * b
        mean = luma(image).mean()
        image = (image - mean) * c + mean
        grey = luma(image)[..., None]
        image = (image - grey) * s + grey
        image = turned(image, (2 * u["hue"] - 1) * 0.2 * config.strength)
    if u["grey"] < config.grey:
        image = np.repeat(luma(image)[..., None], 3, -1)
    return np.clip(image, 0, high - low) + low


def numpy_crop(image, u, config):
    height, width, _ = image.shape
    share = config.area[0] + (config.area[1] - config.area[0]) * u["area"]
    low, high = np.log(config.ratio)
    ratio = np.exp(low + (high - low) * u["ratio"])
    tall = np.clip(np.sqrt(share * height * width / ratio), 1, height)
    wide = np.clip(np.sqrt(share * height * width * ratio), 1, width)
    top, left = (height - tall) * u["top"], (width - wide) * u["left"]
    result = np.empty_like(image)
    for p in range(height):
        for q in range(width):
            y = np.clip(top + (p + 0.5) * tall / height - 0.5, 0, height - 1)
            z = np.clip(left + (q + 0.5) * wide / width - 0.5, 0, width - 1)
            result[p, q] = bilinear(image, y, z)
    return result


def bilinear(image, y, z):
    y0, z0 = int(y), int(z)
    y1, z1 = min(y0 + 1, image.shape[0] - 1), min(z0 + 1, image.shape[1] - 1)
    dy, dz = y - y0, z - z0
    upper = image[y0, z0] * (1 - dz) + image[y0, z1] * dz
    lower = image[y1, z0] * (1 - dz) + image[y1, z1] * dz
    return upper * (1 - dy) + lower * dy


def luma(image):
    return image @ YIQ[0]


def turned(image, circle):
    """Turns the colours in the plane of I and Q, grey staying grey."""
    yiq = YIQ.copy()
    yiq[1:] -= yiq[1:].mean(1, keepdims=True)
    y, i, q = np.moveaxis(image @ yiq.T, -1, 0)
    cos, sin = np.cos(2 * np.pi * circle), np.sin(2 * np.pi * circle)
    mixed = np.stack([y, cos * i - sin * q, sin * i + cos * q], -1)
    return mixed @ np.linalg.inv(yiq).T


def images(batch=8, height=6, width=9, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    shape = (batch, height, width, channels)
    return np.float32(rng.integers(0, 256, shape))


def draws(config, batch=8, seed=3):
    state = tf.constant(random.initial(seed))
    return {n: v.numpy() for n, v in config.draw(state, 5, batch).items()}


@pytest.mark.parametrize(
    "config",
    [
        ImageAugmentation(),
        ImageAugmentation(strength=1.0, jitter=1.0, grey=0.5, area=(0.3, 0.4)),
        ImageAugmentation(strength=0, grey=0),
        ImageAugmentation(strength=0, grey=1),
        ImageAugmentation(area=(1, 1), ratio=(1 / 8, 8)),
        ImageAugmentation(values=(-10.0, 300.0), area=(1e-6, 1e-3)),
    ],
)
def test_equals_numpy(config):
    x = images()
    for seed in (3, 4):
        drawn = draws(config, seed=seed)
        got = config.apply(tf.constant(x), drawn)
        np.testing.assert_allclose(got, numpy_images(x, drawn, config), **CLOSE)


def test_both_runtimes_equal_numpy():
    config = ImageAugmentation()
    inputs = {"x": images(), "state": random.initial(7)}

    def run(x, state):
        drawn = config.draw(state, 5, 8)
        named = {f"u_{name}": value for name, value in drawn.items()}
        return {"y": config.apply(x, drawn)} | named

    (got,) = lite.both(run, inputs)
    drawn = {n[2:]: v for n, v in got.items() if n.startswith("u_")}
    for name, value in draws(config, seed=7).items():
        np.testing.assert_array_equal(drawn[name], value, name)
    expected = numpy_images(inputs["x"], drawn, config)
    np.testing.assert_allclose(got["y"], expected, **CLOSE)


def test_the_whole_image_and_nothing_else_is_the_image_itself():
    config = ImageAugmentation(area=(1, 1), ratio=(1, 1), flip=0, strength=0, grey=0)
    x = images(height=8, width=8)
    got = config.apply(tf.constant(x), draws(config))
    np.testing.assert_allclose(got, x, atol=1e-3)  # positions rounded to 1e-6 of 8
    mirror = ImageAugmentation(area=(1, 1), ratio=(1, 1), flip=1, strength=0, grey=0)
    got = mirror.apply(tf.constant(x), draws(mirror))
    np.testing.assert_allclose(got, x[:, :, ::-1], atol=1e-3)  # likewise


def test_draws_differ_by_image_salt_and_step_and_repeat():
    config, state = ImageAugmentation(), tf.constant(random.initial(1))
    a, b, again = (config.draw(state, salt, 16)["top"].numpy() for salt in (1, 2, 1))
    later = config.draw(random.advance(state), 1, 16)["top"].numpy()
    np.testing.assert_array_equal(a, again)
    assert len(np.unique(a)) == 16 and (a != b).all() and (a != later).all()


def test_an_image_of_one_value_keeps_it_under_crop_and_hue():
    x = np.full((8, 6, 6, 3), 77, np.float32)
    config = ImageAugmentation(strength=0)
    np.testing.assert_allclose(
        config.apply(tf.constant(x), draws(config)), x, atol=1e-3
    )


def test_one_channel_has_no_colours():
    x = images(channels=1)
    with pytest.raises(
        ModelError, match="3 channels, the images have 1: set strength=0"
    ):
        ImageAugmentation().apply(tf.constant(x), draws(ImageAugmentation()))
    config = ImageAugmentation(strength=0, grey=0)
    drawn = draws(config)
    got = config.apply(tf.constant(x), drawn)
    np.testing.assert_allclose(got, numpy_images(x, drawn, config), **CLOSE)
    with pytest.raises(ModelError, match=r"needs inputs \[H, W, C\]"):
        config.check((128, 6))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"area": (0, 1)}, "area starts at 0"),
        ({"area": (0.5, 1.5)}, "area is 0.5 to 1.5"),
        ({"ratio": (2, 1)}, "ratio is 2 to 1"),
        ({"values": (1, 1)}, "values are"),
        ({"flip": 1.1}, "flip is 1.1"),
        ({"strength": 2}, "strength is 2"),
        ({"grey": float("nan")}, "grey is nan"),
    ],
)
def test_unfitting_options_are_refused(options, message):
    with pytest.raises(ModelError, match=message):
        ImageAugmentation(**options)
