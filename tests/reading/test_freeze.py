"""Which layers learn."""

import pytest
import tf_keras

from tests.reading import nets
from tflite_odl import models
from tflite_odl.errors import ModelError
from tflite_odl.reading.freeze import trainable_layers


@pytest.mark.parametrize(
    "spec, want",
    [
        ("all", {"conv", "bn", "depthwise", "out"}),
        ("head", {"out"}),
        ("last:1", {"out"}),
        ("last:2", {"depthwise", "out"}),
        ("last:4", {"conv", "bn", "depthwise", "out"}),
        ("conv|bn", {"conv", "bn"}),
        ("^o", {"out"}),
    ],
)
def test_specs(spec, want):
    assert trainable_layers(nets.conv(tf_keras), spec) == want


def test_nested_layers_have_paths():
    model = nets.nested(tf_keras)
    assert trainable_layers(model, "all") == {"shared/fc", "inner/fc"}
    assert trainable_layers(model, "head") == {"inner/fc"}
    assert trainable_layers(model, "^shared/") == {"shared/fc"}


def test_shared_layer_counts_once():
    assert trainable_layers(nets.branches(tf_keras), "last:2") == {"shared", "out"}


def test_last_of_a_resnet_is_its_classifier():
    model = models.backbone("resnet8", (8, 8, 1), 10)
    assert trainable_layers(model, "head") == {"logits"}
    assert trainable_layers(model, "last:2") == {"logits", "s3_b1_2_bn"}


@pytest.mark.parametrize(
    "spec, message",
    [
        ("nothing_like_it", "matches no layer.*depthwise, out"),
        ("relu", "matches no layer"),  # a layer, but one without weights
        ("last:0", "from 1 to 4"),
        ("last:5", "from 1 to 4"),
        ("last:two", "from 1 to 4"),
        ("last:-1", "from 1 to 4"),
        ("(", "regular expression"),
    ],
)
def test_bad_specs(spec, message):
    with pytest.raises(ModelError, match=message):
        trainable_layers(nets.conv(tf_keras), spec)


def test_model_without_weights():
    x = tf_keras.Input((4,))
    with pytest.raises(ModelError, match="no weights"):
        trainable_layers(tf_keras.Model(x, tf_keras.layers.ReLU()(x)), "all")


def test_model_that_was_never_built():
    with pytest.raises(ModelError, match="never built"):
        trainable_layers(tf_keras.Sequential([tf_keras.layers.Dense(2)]), "all")
