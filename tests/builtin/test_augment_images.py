"""Image augmentation against an independent NumPy one given the same numbers."""

import numpy as np
import pytest
import tensorflow as tf

from tests.builtin import lite
from tflite_odl.builtin import random
from tflite_odl.builtin.augment import ImageAugmentation
from tflite_odl.errors import ModelError
from tflite_odl.proof.references.augment import augmented

# Pixels to 255 through two interpolations and a 3 x 3 matrix, in float32: 1e-6 each.
CLOSE = {"rtol": 0, "atol": 1e-3}


def images(batch=8, height=6, width=9, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    shape = (batch, height, width, channels)
    return np.float32(rng.integers(0, 256, shape))


def draws(config, batch=8, seed=3):
    state = tf.constant(random.initial(seed))
    return {n: v.numpy() for n, v in config.draw(state, (5,), (batch, 6, 9, 3)).items()}


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
        np.testing.assert_allclose(got, augmented(x, drawn, config), **CLOSE)


def test_both_runtimes_equal_numpy():
    config = ImageAugmentation()
    inputs = {"x": images(), "state": random.initial(7)}

    def run(x, state):
        drawn = config.draw(state, (5,), x.shape)
        named = {f"u_{name}": value for name, value in drawn.items()}
        return {"y": config.apply(x, drawn)} | named

    (got,) = lite.both(run, inputs)
    drawn = {n[2:]: v for n, v in got.items() if n.startswith("u_")}
    for name, value in draws(config, seed=7).items():
        np.testing.assert_array_equal(drawn[name], value, name)
    expected = augmented(inputs["x"], drawn, config)
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

    def drawn(state, salt):
        return config.draw(state, (salt,), (16, 6, 9, 3))["top"].numpy()

    a, b, again = (drawn(state, salt) for salt in (1, 2, 1))
    later = drawn(random.advance(state), 1)
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
    np.testing.assert_allclose(got, augmented(x, drawn, config), **CLOSE)
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
