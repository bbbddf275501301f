"""Weights that TF-MOT prunes and shares, on a copy, and what is asked of the result."""

import functools

import numpy as np
import pytest
import tf_keras
from tf_keras import layers as kl

from tflite_odl.errors import ExportError
from tflite_odl.exporter import compress, recipes
from tflite_odl.exporter.export import export
from tflite_odl.methods import Finetune

LOSS = "sparse_cross_entropy"


@functools.cache
def net() -> tf_keras.Model:
    tf_keras.utils.set_random_seed(7)
    return tf_keras.Sequential(
        [
            kl.Input((8,)),
            kl.Dense(32, activation="relu", name="hidden"),
            kl.Dense(3, name="head"),
        ]
    )


def teaching(qat_steps: int = 0) -> compress.Teaching:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 8)).astype(np.float32)
    y = np.where(rng.uniform(size=64) < 0.1, -1, x[:, :3].argmax(-1))
    return compress.Teaching.on(net(), x, y, LOSS, steps=20, qat_steps=qat_steps)


@pytest.mark.parametrize("name", ["pruned50", "pruned80", "clustered16"])
def test_weights_are_as_the_recipe_says_and_the_users_own_stay(name):
    before = [value.copy() for value in net().get_weights()]
    recipe = recipes.recipe(name)
    model = compress.compressed(net(), recipe, teaching())
    assert all(map(np.array_equal, before, net().get_weights()))
    assert [x.name for x in model.layers if x.weights] == ["hidden", "head"]
    kernel = model.get_layer("hidden").kernel.numpy()
    if recipe.sparsity:
        assert (kernel == 0).mean() == pytest.approx(recipe.sparsity, abs=0.02)
    if name == "pruned50":  # two of each four inputs of an output
        assert ((kernel.T.reshape(32, 2, 4) != 0).sum(-1) <= 2).all()
    if recipe.clusters:
        assert len(np.unique(kernel)) <= 16
    graph = Finetune(model, loss=LOSS).network.graph
    assert "hidden" in sum(compress.outcome(graph, recipe).values(), [])


def test_both_together_share_what_is_left():
    recipe = recipes.recipe("pruned80_clustered16_int8")
    few = recipes.Recipe("few", sparsity=0.5, clusters=4)
    model = compress.compressed(net(), few, teaching())
    kernel = model.get_layer("hidden").kernel.numpy()
    assert (kernel == 0).mean() >= 0.48 and len(np.unique(kernel)) <= 5
    assert recipe.calibrated and recipe.compresses


def test_training_with_fake_quantization_moves_weights_of_a_plain_copy():
    model = compress.compressed(net(), recipes.recipe("float32"), teaching(3))
    assert type(model.get_layer("hidden")) is kl.Dense
    moved = model.get_layer("hidden").kernel - net().get_layer("hidden").kernel
    assert 0 < np.abs(moved).max() < 0.1


def test_rows_without_a_label_are_left_out():
    assert (teaching().y >= 0).all() and len(teaching().x) == len(teaching().y) < 64
    with pytest.raises(ExportError, match="with the loss"):
        compress.Teaching.on(net(), np.zeros((1, 8)), np.zeros(1), "another")


def test_a_model_that_is_not_as_the_recipe_says_is_refused():
    method = Finetune(net(), loss=LOSS)
    with pytest.raises(ExportError, match="no .*pruned_layers"):
        export(method, 4, quantize="pruned80")
