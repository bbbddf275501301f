"""Models that users trained with TF-MOT are read without its wrappers."""

import numpy as np
import pytest
import tensorflow_model_optimization as tfmot
import tf_keras

from tests import nets
from tests.builtin.test_fold import randomize
from tflite_odl.errors import ModelError
from tflite_odl.methods import Finetune
from tflite_odl.reading.load import load

X = np.random.default_rng(0).normal(size=(16, 6, 6, 2)).astype(np.float32)
Y = np.arange(16) % nets.CLASSES


def trained(kind: str) -> tf_keras.Model:
    """Returns a wrapped model after a step of training, so that its weights moved."""
    base = randomize(nets.conv_net())
    callbacks = []
    if kind == "quantize":
        model = tfmot.quantization.keras.quantize_model(base)
    elif kind == "prune":
        schedule = tfmot.sparsity.keras.ConstantSparsity(0.5, 0, frequency=1)
        model = tfmot.sparsity.keras.prune_low_magnitude(base, schedule)
        callbacks = [tfmot.sparsity.keras.UpdatePruningStep()]
    else:
        init = tfmot.clustering.keras.CentroidInitialization.LINEAR
        model = tfmot.clustering.keras.cluster_weights(base, 4, init)
    model.compile("sgd", tf_keras.losses.SparseCategoricalCrossentropy(True))
    model.fit(X, Y, verbose=0, callbacks=callbacks)
    return model


@pytest.mark.parametrize("ending", [".h5", ""])
@pytest.mark.parametrize("kind", ["quantize", "prune", "cluster"])
def test_wrappers_are_taken_off_and_weights_stay(kind, ending, tmp_path):
    model = trained(kind)
    expected = model.predict(X, verbose=0)
    path = tmp_path / f"model{ending}"
    model.save(path)
    loaded = load(path)
    assert any("TF-MOT" in note for note in loaded.notes)
    kinds = {type(layer).__name__ for layer in loaded.model.layers}
    assert not kinds & {"QuantizeWrapperV2", "PruneLowMagnitude", "ClusterWeights"}
    # Without fake quantization a few steps of its ranges are gone; the others compute
    # the same.
    most = 0.5 * np.ptp(expected) if kind == "quantize" else 1e-5
    found = loaded.model.predict(X, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=most)
    kernel = loaded.model.get_layer("conv2").kernel.numpy()
    if kind == "prune":
        assert (kernel == 0).mean() == pytest.approx(0.5, abs=0.01)
    if kind == "cluster":
        assert len(np.unique(kernel)) <= 4
    plain, found = (
        Finetune(one, loss="sparse_cross_entropy").network.graph
        for one in (nets.conv_net(), loaded.model)
    )
    assert found.trainable == plain.trainable


def test_weights_that_tfmot_trained_are_read(tmp_path):
    model = trained("quantize")
    model.save(tmp_path / "model.h5")
    loaded = load(tmp_path / "model.h5").model
    values = {variable.name: variable.numpy() for variable in model.variables}
    for layer in ("conv", "conv2", "head"):
        assert np.array_equal(
            loaded.get_layer(layer).kernel.numpy(), values[f"{layer}/kernel:0"]
        )


def test_a_model_that_is_only_marked_for_quantization_is_itself(tmp_path):
    base = randomize(nets.conv_net())
    model = tfmot.quantization.keras.quantize_annotate_model(base)
    model.save(tmp_path / "model.h5")
    loaded = load(tmp_path / "model.h5").model
    assert "QuantizeAnnotate" not in {type(layer).__name__ for layer in loaded.layers}
    # The same ops on the same weights.
    np.testing.assert_array_equal(loaded(X), base(X))


def test_a_keras_file_of_tfmot_is_refused_with_a_way_out(tmp_path):
    model = tfmot.quantization.keras.quantize_model(nets.mlp("linear"))
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="save it as .h5"):
        load(tmp_path / "model.keras")
