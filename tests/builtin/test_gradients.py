"""Every op's output, gradients and moving statistics against TensorFlow's own."""

import itertools

import pytest
import tf_keras
from tf_keras import layers as kl

from tests.builtin.single import TOLERANCE, check, compare, randomize

SPATIAL = list(
    itertools.product((1, 2, 3), ("same", "valid"), (1, 2, 3, 5), ((8, 8), (7, 9)))
)


@pytest.mark.parametrize(("stride", "padding", "kernel", "size"), SPATIAL)
def test_conv2d(stride, padding, kernel, size):
    """Each trainable lowering that claims the shape, few channels and more."""
    paired = padding == "same" and kernel == 3 and size[1] % 2 == 0 and stride == 1
    claims = {
        "split_width": kernel > 1,
        "paired_columns": paired,
        "pointwise": kernel == stride == 1,
        "patches": True,
    }
    for lowering in [name for name, claimed in claims.items() if claimed]:
        for below in ([], [kl.Conv2D(8, 1)]):
            conv = kl.Conv2D(5, kernel, strides=stride, padding=padding, name="conv")
            check(*below, conv, shape=(*size, 3), choices={"conv": lowering})


@pytest.mark.parametrize("batch", [2, 6])
@pytest.mark.parametrize("size", [(2, 3), (9, 8), (12, 16)])
def test_pointwise_in_groups(batch, size):
    """Filter gradients of all rows at once, of some images and of each image."""
    conv = kl.Conv2D(5, 1, name="conv")
    check(conv, shape=(*size, 3), batch=batch, choices={"conv": "pointwise"})


@pytest.mark.parametrize("kernel", [(3, 1), (1, 3), (2, 5)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_conv2d_oblong(kernel, padding):
    check(kl.Conv2D(5, kernel, padding=padding, use_bias=False), shape=(6, 7, 3))


def test_conv2d_dilated():
    for below in ([], [kl.Conv2D(8, 1)]):
        conv = kl.Conv2D(5, 3, dilation_rate=2, padding="same")
        check(*below, conv, shape=(8, 7, 3))


def test_conv2d_of_many_taps():
    """Strided, more taps than one stencil takes, of few channels and of more."""
    for channels in (1, 2, 8):
        conv = kl.Conv2D(3, (4, 10), 2, "same", name="conv")
        for lowering in ("patches", "split_width"):
            below = kl.Conv2D(channels, 1)
            check(below, conv, shape=(11, 9, 3), choices={"conv": lowering})


@pytest.mark.parametrize(("stride", "padding", "kernel", "size"), SPATIAL)
def test_depthwise(stride, padding, kernel, size):
    plain = ["products"] if stride == 1 else []
    for lowering in [*plain, "taps", "convolution"]:
        layer = kl.DepthwiseConv2D(kernel, strides=stride, padding=padding, name="dw")
        check(layer, shape=(*size, 3), choices={"dw": lowering})


def test_smallest_sizes():
    check(kl.Conv2D(2, 3, padding="same"), shape=(1, 1, 3), batch=1)
    check(kl.DepthwiseConv2D(3, padding="same"), shape=(1, 2, 1), batch=1)


@pytest.mark.parametrize("kind", [kl.Conv2D, kl.DepthwiseConv2D])
@pytest.mark.parametrize(
    ("stride", "padding"), [(1, "same"), (2, "same"), (2, "valid")]
)
def test_frozen_convolution_passes_gradients_down(kind, stride, padding):
    arguments = (3,) if kind is kl.DepthwiseConv2D else (5, 3)
    frozen = kind(*arguments, strides=stride, padding=padding, name="frozen")
    model = tf_keras.Sequential(
        [
            kl.Input((7, 9, 3)),
            kl.Conv2D(4, 1, name="below"),
            frozen,
            kl.BatchNormalization(name="frozen_norm"),
            kl.Flatten(),
            kl.Dense(3, name="above"),
        ]
    )
    randomize(model)
    errors = compare(model, trainable={"below", "above"})
    assert max(errors.values()) < TOLERANCE, errors


@pytest.mark.parametrize("padding", [1, ((0, 1), (0, 1)), ((2, 0), (1, 3))])
@pytest.mark.parametrize("stride", [1, 2])
def test_zero_padding_is_folded(padding, stride):
    pad = kl.ZeroPadding2D(padding)
    check(pad, kl.Conv2D(4, 3, strides=stride), shape=(6, 7, 3))
    check(pad, kl.DepthwiseConv2D(3, strides=stride), shape=(6, 7, 3))


def test_zero_padding_alone():
    check(kl.ZeroPadding2D(1), kl.ReLU(), shape=(4, 5, 3))


@pytest.mark.parametrize("options", [{}, {"center": False}, {"scale": False}])
def test_batch_norm(options):
    check(kl.BatchNormalization(**options), shape=(6, 5, 3), batch=4)


def test_batch_norm_of_vectors_is_not_fused_and_keeps_the_biased_variance():
    check(kl.BatchNormalization(momentum=0.7), shape=(6,), batch=5)


def test_batch_norm_leaves_out_masked_rows():
    check(
        kl.BatchNormalization(),
        kl.ReLU(),
        kl.Conv2D(3, 3, padding="same", use_bias=False),
        kl.BatchNormalization(),
        shape=(6, 5, 3),
        batch=5,
        mask=[1, 0, 1, 1, 0],
    )


def test_frozen_batch_norm_uses_moving_statistics():
    model = tf_keras.Sequential(
        [kl.Input((5, 5, 3)), kl.Conv2D(4, 3), kl.BatchNormalization(name="norm")]
        + [kl.Flatten(), kl.Dense(3)]
    )
    randomize(model)
    learning = {layer.name for layer in model.layers} - {"norm"}
    assert max(compare(model, trainable=learning).values()) < TOLERANCE


@pytest.mark.parametrize(
    "layer",
    [kl.ReLU(), kl.ReLU(6.0), kl.Activation("relu"), kl.Softmax(), kl.Reshape((6, 20))],
    ids=lambda layer: layer.name,
)
def test_without_weights(layer):
    check(layer, shape=(5, 6, 3))


def test_relu_fused_into_layers():
    check(
        kl.Conv2D(4, 3, activation="relu"),
        kl.Flatten(),
        kl.Dense(5, activation="relu", use_bias=False),
        shape=(5, 6, 3),
    )


@pytest.mark.parametrize("keepdims", [False, True])
def test_global_average_pooling(keepdims):
    pool = kl.GlobalAveragePooling2D(keepdims=keepdims)
    check(pool, shape=(5, 6, 3))
    # Straight behind a convolution: the gradient arrives unbroadcast.
    check(kl.Conv2D(4, 3), pool, shape=(5, 6, 3))


def test_residual_blocks_with_shared_and_nested_layers():
    inputs = kl.Input((6, 6, 4))
    shared = kl.Conv2D(4, 3, padding="same", name="shared")
    inner = tf_keras.Sequential([kl.Input((6, 6, 4)), kl.Conv2D(4, 1), kl.ReLU()])
    x = shared(inputs)
    x = kl.Add()([x, shared(kl.ReLU()(x)), inner(x)])
    outputs = kl.Dense(3)(kl.GlobalAveragePooling2D()(x))
    model = tf_keras.Model(inputs, outputs)
    randomize(model)
    learning = {"shared", model.layers[-1].name}
    learning |= {f"{inner.name}/{layer.name}" for layer in inner.layers}
    errors = compare(model, trainable=learning)
    assert len(errors) == 7
    assert max(errors.values()) < TOLERANCE, errors
