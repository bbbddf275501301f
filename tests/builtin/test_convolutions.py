"""Convolutions of every kind against Keras: groups, dilation, 1-D, transposed."""

import itertools

import pytest
import tf_keras
from tf_keras import layers as kl

from tests.builtin.single import compare, randomize
from tests.builtin.test_gradients import TOLERANCE, check
from tflite_odl.errors import ModelError

SIZES = ((8, 8), (7, 9))


@pytest.mark.parametrize("groups", [2, 4])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (2, 3)])
def test_grouped(groups, padding, kernel, stride):
    for size in SIZES:
        conv = kl.Conv2D(8, kernel, stride, padding, groups=groups)
        check(conv, shape=(*size, 3))


def test_grouped_pads_and_dilates():
    conv = kl.Conv2D(4, 3, dilation_rate=2, groups=2, use_bias=False)
    check(kl.ZeroPadding2D(((1, 2), (0, 1))), conv, shape=(6, 7, 3))


@pytest.mark.parametrize("stride", [1, 2])
def test_groups_in_several_blocks(stride):
    """128 channels are two blocks of 64; the norm leaves its scale to fold in."""
    wide = kl.Conv2D(128, 1, use_bias=False)
    conv = kl.Conv2D(64, 3, stride, groups=8, use_bias=False)
    check(wide, conv, kl.BatchNormalization(), shape=(5, 6, 3))
    check(wide, kl.Conv2D(64, 3, stride, groups=8), shape=(5, 6, 3))


@pytest.mark.parametrize("kind", [kl.Conv2D, kl.DepthwiseConv2D])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("dilation", [2, 3, (1, 2)])
def test_dilated(kind, padding, dilation):
    arguments = (4, 3) if kind is kl.Conv2D else (3,)
    options = {"padding": padding, "dilation_rate": dilation}
    check(kind(*arguments, **options), shape=(8, 9, 3))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [(2, 1), (1, 2), (3, 2)])
def test_strides_apart(padding, strides):
    check(kl.Conv2D(4, 3, strides, padding), shape=(7, 8, 3))


@pytest.mark.parametrize("kernel", [5, 7, (9, 1)])
def test_kernel_larger_than_the_image(kernel):
    for stride in (1, 2):
        check(kl.Conv2D(2, kernel, stride, "same"), shape=(3, 2, 2), batch=1)
        depthwise = kl.DepthwiseConv2D(kernel, stride, "same")
        check(depthwise, shape=(3, 2, 2), batch=1)


@pytest.mark.parametrize("multiplier", [2, 3])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_depth_multiplier(multiplier, stride, dilation):
    for name in ("products", "taps", "convolution"):
        claims = {"products": stride == dilation == 1, "convolution": dilation == 1}
        if not claims.get(name, True):
            continue
        layer = kl.DepthwiseConv2D(
            3,
            stride,
            "same",
            depth_multiplier=multiplier,
            dilation_rate=dilation,
            name="dw",
        )
        check(layer, shape=(6, 7, 3), choices={"dw": name})
    # A norm above leaves its scale to the convolution.
    layer = kl.DepthwiseConv2D(3, stride, depth_multiplier=multiplier, use_bias=False)
    check(layer, kl.BatchNormalization(), shape=(8, 9, 1))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_separable(padding, stride, dilation, multiplier):
    options = {"dilation_rate": dilation, "depth_multiplier": multiplier}
    options |= {"strides": stride, "padding": padding, "activation": "relu"}
    check(kl.SeparableConv2D(5, 3, **options), shape=(7, 8, 3))
    check(kl.SeparableConv1D(5, 3, **options), shape=(9, 3))
    check(kl.DepthwiseConv1D(3, **options), shape=(8, 3))


@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"),
    [(1, 1, 1), (1, 2, 1), (2, 1, 1), (3, 1, 1), (3, 2, 1), (5, 3, 1), (3, 1, 2)],
)
def test_conv1d(padding, kernel, stride, dilation):
    for length in (9, 12):
        options = {"dilation_rate": dilation, "padding": padding}
        check(kl.Conv1D(5, kernel, stride, **options), shape=(length, 3))
    # A norm above leaves its scale to the convolution.
    conv = kl.Conv1D(5, kernel, stride, use_bias=False, **options)
    check(conv, kl.BatchNormalization(), shape=(9, 3))


def test_conv1d_in_groups_and_at_its_smallest():
    check(kl.Conv1D(4, 3, 2, "same", groups=2), shape=(7, 3))
    check(kl.Conv1D(2, 5, padding="causal"), shape=(1, 2), batch=1)


def test_conv1d_lowerings():
    for name in ("split_width", "paired_columns", "patches"):
        conv = kl.Conv1D(4, 3, padding="same", name="conv")
        check(conv, shape=(8, 3), choices={"conv": name})


TRANSPOSED = list(
    itertools.product(
        ("same", "valid"),
        ((1, 1), (2, 2), (3, 1), (3, 2), (4, 2), (2, 3), (5, 3)),
    )
)


@pytest.mark.parametrize(("padding", "window"), TRANSPOSED)
def test_transposed(padding, window):
    check(kl.Conv2DTranspose(4, *window, padding), shape=(4, 5, 3))
    check(kl.Conv1DTranspose(4, *window, padding), shape=(5, 3))


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_transposed_oblong_dilated_and_with_output_padding(padding):
    check(kl.Conv2DTranspose(4, (2, 3), (3, 2), padding), shape=(4, 1, 3), batch=1)
    check(kl.Conv2DTranspose(4, 3, 1, padding, dilation_rate=2), shape=(4, 5, 3))
    check(kl.Conv2DTranspose(4, 3, 2, padding, output_padding=1), shape=(4, 5, 3))


@pytest.mark.parametrize(
    "frozen",
    [
        kl.Conv2D(4, 3, groups=2),
        kl.Conv2D(8, 2, 2, groups=4, padding="same"),
        kl.Conv2D(4, 3, dilation_rate=2),
        kl.Conv2D(4, 3, dilation_rate=2, padding="same"),
        kl.Conv2D(4, 3, (2, 1), padding="same"),
        kl.DepthwiseConv2D(3, dilation_rate=2),
        kl.DepthwiseConv2D(3, 2, depth_multiplier=2),
        kl.SeparableConv2D(5, 3, 2, depth_multiplier=2),
        kl.Conv2DTranspose(5, 3, 2, "same"),
    ],
    ids=lambda layer: layer.name,
)
def test_frozen_convolution_passes_gradients_down(frozen):
    check_frozen(frozen, (7, 9, 4))


@pytest.mark.parametrize(
    "frozen",
    [
        kl.Conv1D(4, 3, 2, padding="causal"),
        kl.Conv1D(4, 3, dilation_rate=2),
        kl.SeparableConv1D(5, 3, 2, padding="same"),
        kl.Conv1DTranspose(5, 3, 2),
    ],
    ids=lambda layer: layer.name,
)
def test_frozen_convolution_of_sequences(frozen):
    check_frozen(frozen, (9, 4))


def check_frozen(frozen, shape):
    below, above = kl.Dense(4, name="below"), kl.Dense(3, name="above")
    if len(shape) == 3:
        below = kl.Conv2D(4, 1, name="below")
    model = tf_keras.Sequential([kl.Input(shape), below, frozen, kl.Flatten(), above])
    randomize(model)
    errors = compare(model, trainable={"below", "above"})
    assert max(errors.values()) < TOLERANCE, errors


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (kl.Conv2DTranspose(4, 1, 2), "kernel .* with strides"),
        (kl.Conv2DTranspose(4, 2, 3, "same", output_padding=0), "output_padding"),
    ],
)
def test_what_keras_cannot_differentiate_is_refused(layer, message):
    with pytest.raises(ModelError, match=message):
        check(layer, shape=(4, 5, 3))
