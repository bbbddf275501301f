"""Every backbone: shapes, names, seeds, options."""

import functools
import random
import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tests.reading import nets
from tflite_odl import models
from tflite_odl.errors import ModelError
from tflite_odl.reading.logits import as_logits

SHAPES = {"inertial": (128, 6), "keyword": (49, 10, 1), "mlp": (64,)}
# small ones of each family, so that building them is quick
OPTIONS = {
    "densenet": {"depth": 2},
    "mnasnet": {"depth": 0.3},
    "mobilenet_v1": {"depth": 1},
    "mobilenet_v2": {"depth": 0.3},
    "shufflenet": {"depth": 1},
    "squeezenet": {"depth": 1},
}
SMALL = [name for name in models.BACKBONES if name not in ("resnet32", "resnet56")]


def make(name, seed=0, **options):
    shape = SHAPES.get(name, (32, 32, 3))
    return models.backbone(name, shape, 7, seed, **{**OPTIONS.get(name, {}), **options})


@functools.cache
def made(name, seed):
    """Returns a backbone shared by tests; the last of them trains the one of seed 6."""
    return make(name, seed)


@pytest.mark.parametrize("name", SMALL)
def test_backbone_ends_in_logits_of_a_dense(name):
    model = made(name, 5)
    last = model.layers[-1]
    assert isinstance(last, tf_keras.layers.Dense) and last.units == 7
    assert as_logits(model)[1] == "logits"
    y = model(nets.inputs(model)).numpy()
    assert y.shape == (3, 7) and np.isfinite(y).all()
    assert 1e-3 < y.std() < 10  # neither vanished nor exploded on the way


@pytest.mark.parametrize("name", SMALL)
def test_seed_decides_the_weights_and_names_are_stable(name):
    tf_keras.utils.set_random_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    first = make(name, 5)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    unmoved = tf.random.uniform([4]).numpy()
    tf_keras.utils.set_random_seed(1)
    assert np.array_equal(unmoved, tf.random.uniform([4]))
    tf_keras.utils.set_random_seed(2)
    same, other = made(name, 5), made(name, 6).get_weights()
    names = [layer.name for layer in first.layers]
    assert names == [layer.name for layer in same.layers]
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", each) for each in names)
    for a, b in zip(first.get_weights(), same.get_weights(), strict=True):
        assert np.array_equal(a, b)
    kernels = [
        (a, c) for a, c in zip(first.get_weights(), other, strict=True) if a.ndim > 1
    ]
    assert kernels and not any(np.array_equal(a, c) for a, c in kernels)


def test_layers_of_equal_shape_differ():
    model = models.backbone("resnet14", (8, 8, 1), 10)
    one, two = (model.get_layer(f"s1_b{b}_conv1").get_weights()[0] for b in (1, 2))
    assert one.shape == two.shape and not np.array_equal(one, two)


@pytest.mark.parametrize("name", SMALL)
def test_batch_can_be_learned(name):
    """One step downhill on a batch lowers its loss: every layer passes gradients."""
    model = made(name, 6)
    x, y = nets.inputs(model, 4), np.arange(4)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        first = loss(y, model(x, training=True))
    gradients = tape.gradient(first, model.trainable_variables)
    norm = tf.linalg.global_norm(gradients)
    assert all(gradient is not None for gradient in gradients)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        variable.assign_sub(1e-3 * gradient / norm)
    assert float(loss(y, model(x, training=True))) < float(first)


@pytest.mark.parametrize(
    "name, layers",
    [("resnet8", 7), ("resnet14", 13), ("resnet20", 19), ("resnet32", 31)],
)
def test_resnet_depth_counts_its_layers(name, layers):
    """6 n + 2: 3x3 convolutions and the classifier; the shortcuts are not counted."""
    model = models.backbone(name, (8, 8, 1), 10)
    kernels = [layer for layer in model.layers if hasattr(layer, "kernel_size")]
    assert sum(layer.kernel_size == (3, 3) for layer in kernels) == layers
    shortcuts = [layer for layer in kernels if layer.kernel_size == (1, 1)]
    assert [layer.strides for layer in shortcuts] == [(2, 2), (2, 2)]


@pytest.mark.parametrize(
    "name, shape, layers",
    [("bireal8", (8, 8, 1), 6), ("bireal20", (9, 8, 1), 18), ("bireal8", (30, 6), 6)],
)
def test_every_binary_layer_of_bireal_has_a_shortcut(name, shape, layers):
    """Each reads a relu, whose values are also added to what it puts out, as they are
    or, where a stage begins, pooled and twice."""
    model = models.backbone(name, shape, 10)
    added = [n for n in model.layers if isinstance(n, tf_keras.layers.Add)]
    kind = tf_keras.layers.Conv2D if len(shape) == 3 else tf_keras.layers.Conv1D
    convs = [n for n in model.layers if isinstance(n, kind)][1:]
    assert len(added) == len(convs) == layers
    for conv, add in zip(convs, added, strict=True):
        relu, shortcut = conv.input, add.input[0]
        shrinks = conv.strides[0] == 2
        assert shrinks or relu is shortcut
        read = tf_keras.Model(model.input, [relu, shortcut])
        values, carried = (y.numpy() for y in read(nets.inputs(model)))
        if shrinks:
            values = tf.nn.avg_pool(values, 2, 2, "SAME").numpy()
            values = np.concatenate([values, values], -1)
        np.testing.assert_array_equal(carried, values)


@pytest.mark.parametrize("name", ["resnet8", "bireal8"])
@pytest.mark.parametrize("shape", [(8, 8, 1), (32, 32, 3), (9, 7, 1)])
def test_resnet_takes_small_and_odd_sizes(shape, name):
    model = models.backbone(name, shape, 10)
    assert model(nets.inputs(model)).shape == (3, 10)


@pytest.mark.parametrize("size", [33, 96])
def test_mobilenet_v2_takes_small_sizes(size):
    model = models.backbone("mobilenet_v2", (size, size, 3), 4)
    assert model(nets.inputs(model, 1)).shape == (1, 4)


def test_mobilenet_v2_has_the_published_parameter_count():
    """Keras' own MobileNetV2 of the same width, the classifier included."""
    theirs = tf_keras.applications.MobileNetV2(
        (96, 96, 3), 1.0, weights=None, classes=10
    )
    ours = models.backbone("mobilenet_v2", (96, 96, 3), 10, alpha=1.0)
    assert ours.count_params() == theirs.count_params()


def test_mobilenet_v1_has_the_published_parameter_count():
    """Keras' own MobileNet ends in a 1x1 convolution with as many weights."""
    theirs = tf_keras.applications.MobileNet(
        (96, 96, 3), 0.5, weights=None, classes=10, dropout=0
    )
    ours = models.backbone("mobilenet_v1", (96, 96, 3), 10, alpha=0.5)
    assert ours.count_params() == theirs.count_params()


def test_shuffle_mixes_the_groups():
    """Channel (g, i) goes to (i, g): of 6 channels in 2 groups, 0 3 1 4 2 5."""
    from tflite_odl.models.shufflenet import _shuffle

    x = tf_keras.Input((1, 1, 6))
    model = tf_keras.Model(x, _shuffle(x, 2, "shuffle"))
    y = model(np.arange(6, dtype="float32").reshape(1, 1, 1, 6)).numpy()
    assert y.ravel().tolist() == [0, 3, 1, 4, 2, 5]


@pytest.mark.parametrize(
    "name, shape, options, message",
    [
        ("resnet9", (8, 8, 1), {}, "no backbone 'resnet9', there are .*resnet8"),
        ("resnet8", (8, 8, 1), {"widht": 3}, r"options .*'width'.*not \['widht'\]"),
        ("resnet8", (64,), {}, r"\[H, W, C\]"),
        ("resnet8", (2, 2, 1), {}, "4 or more"),
        ("resnet8", (8, 8, 1), {"depth": 10}, "depth is 10"),
        ("mobilenet_v2", (16, 16, 3), {}, "32 or more"),
        ("inertial", (4, 6), {}, "T of 8"),
        ("shufflenet", (8, 8, 1), {"width": 20}, "multiple of 8 x 2"),
    ],
)
def test_bad_arguments(name, shape, options, message):
    with pytest.raises(ModelError, match=message):
        models.backbone(name, shape, 10, **options)


def test_no_output_is_refused():
    with pytest.raises(ModelError, match="1 or more"):
        models.backbone("mlp", (4,), 0)


@pytest.mark.parametrize("name", ["inertial", "mobilenet_v2", "resnet8"])
def test_group_norms_take_the_place_of_batch_norms(name):
    plain, grouped = made(name, 5), make(name, 5, norm="group")
    assert [one.name for one in plain.layers] == [one.name for one in grouped.layers]
    kinds = [type(one).__name__ for one in grouped.layers]
    assert "BatchNormalization" not in kinds and "GroupNormalization" in kinds
    for old, new in zip(plain.layers, grouped.layers, strict=True):
        for a, b in zip(old.get_weights(), new.get_weights()):
            np.testing.assert_array_equal(a, b)  # gamma and beta, too
    x = nets.inputs(grouped)
    alone = np.concatenate([grouped(row[None], training=True) for row in x])
    # Each row by itself: float32 in batches of other sizes.
    np.testing.assert_allclose(grouped(x, training=True), alone, atol=1e-5)
    with pytest.raises(ModelError, match="norm 'layer' is not one of"):
        make(name, norm="layer")
