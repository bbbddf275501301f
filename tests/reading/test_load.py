"""Models saved by tf_keras and by stock Keras 3 load with the same outputs."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tests.reading import nets
from tflite_odl.errors import ModelError
from tflite_odl.methods import Finetune
from tflite_odl.reading import compare, freeze, keras3, rebuild
from tflite_odl.reading.load import load

ROOT = Path(__file__).parents[2]
# Relative to the largest output: float32 sums in another order, as compare.TOLERANCE.
CLOSE = 1e-6

NETS = {
    "mlp_softmax": nets.mlp,
    "mlp_logits": lambda api: nets.mlp(api, None),
    "conv_logits": nets.conv,
    "conv_softmax": lambda api: nets.conv(api, "softmax"),
    "nested": nets.nested,
    "branches": nets.branches,
}


@pytest.fixture(autouse=True)
def _fresh_names():
    tf_keras.backend.clear_session()
    keras.utils.clear_session()


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", NETS)
def test_keras3_file_is_rebuilt_with_the_same_outputs(name, suffix, tmp_path):
    model = NETS[name](keras)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    loaded = load(path)
    assert isinstance(loaded.model, tf_keras.Model)
    assert "Keras 3" in loaded.notes[0]
    x = nets.inputs(model)
    assert nets.difference(model(x), loaded.model(x)) <= CLOSE


def test_keras3_file_with_an_optimizer_in_it(tmp_path):
    """A compiled, fitted model: its optimizer is left behind."""
    model = nets.conv(keras, "softmax")
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(nets.inputs(model, 8), np.arange(8) % 4, epochs=1, verbose=0)
    model.save(tmp_path / "m.keras")
    x = nets.inputs(model)
    assert nets.difference(model(x), load(tmp_path / "m.keras").model(x)) <= CLOSE


def test_keras3_options_and_layer_names_are_kept(tmp_path):
    nets.conv(keras).save(tmp_path / "m.keras")
    model = load(tmp_path / "m.keras").model
    assert model.get_layer("bn").momentum == 0.8
    assert model.get_layer("bn").epsilon == 1e-2
    assert model.get_layer("conv").strides == (2, 2)
    assert freeze.trainable_layers(model, "all") == {"conv", "bn", "depthwise", "out"}


def test_keras3_shared_layer_stays_one_layer(tmp_path):
    nets.branches(keras).save(tmp_path / "m.keras")
    model = load(tmp_path / "m.keras").model
    named = [call.layer for call in rebuild.calls(model) if call.layer.name == "shared"]
    assert len(named) == 3 and len({id(layer) for layer in named}) == 1


def _text(api):
    layers = api.layers
    stack = [layers.Embedding(5, 4), layers.GlobalAveragePooling1D(), layers.Dense(2)]
    return api.Sequential([api.Input((7,)), *stack])


def _augmented(api):
    layers = api.layers
    stack = [layers.RandomFlip(), layers.Rescaling(0.5), layers.Conv2D(2, 3)]
    return api.Sequential([api.Input((6, 6, 1)), *stack, layers.Flatten()])


def _recurrent(api):
    layers = api.layers
    stack = [layers.GRU(4, return_sequences=True), layers.LSTM(3), layers.Dense(2)]
    return api.Sequential([api.Input((7, 3)), *stack])


def _two_inputs(api):
    a, b = api.Input((3,), name="a"), api.Input((2,), name="b")
    join = api.layers.Concatenate()([a, b])
    return api.Model([a, b], api.layers.Dense(2)(join))


@pytest.mark.parametrize("make", [_text, _augmented, _recurrent, _two_inputs])
def test_keras3_net_is_rebuilt(make):
    model = make(keras)
    twin, _ = keras3.from_keras3(model)
    rows = compare.random_inputs(twin)
    rows = rows if len(rows) > 1 else rows[0]
    want, have = (each(rows, training=False) for each in (model, twin))
    assert nets.difference(want, have) <= CLOSE


def test_keras3_subclassed_model_is_refused(tmp_path):
    class Mine(keras.Model):
        def build(self, shape):
            self.fc = keras.layers.Dense(2)

        def call(self, x):
            return self.fc(x)

    model = Mine()
    model(np.zeros((1, 3), np.float32))
    model.save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"\(Mine\).*functional or sequential"):
        load(tmp_path / "m.keras")


def test_keras3_sum_of_tensors():
    x = keras.Input((4,))
    y = keras.layers.Dense(4, name="fc")(x)
    model = keras.Model(x, keras.layers.Dense(3)(keras.ops.relu(x + y)))
    twin, _ = keras3.from_keras3(model)
    x = nets.inputs(model)
    assert nets.difference(model(x), twin(x)) <= CLOSE


def test_keras3_unknown_operation_is_named():
    x = keras.Input((4,))
    model = keras.Model(x, keras.ops.sort(keras.layers.Dense(3)(x)))
    with pytest.raises(ModelError, match=r"operation 'sort.*' \(Sort\)"):
        keras3.from_keras3(model)


def test_keras3_layer_that_tf_keras_has_not_is_named(tmp_path):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.RMSNormalization(name="rms")]
    )
    model.save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"layer 'rms' \(RMSNormalization\)"):
        load(tmp_path / "m.keras")


def test_keras3_layer_that_computes_otherwise_in_tf_keras_computes_as_saved(tmp_path):
    """hard_sigmoid is x / 6 + 1 / 2 in Keras 3 and x / 5 + 1 / 2 in tf_keras."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(5, name="first"),
            keras.layers.Activation("hard_sigmoid", name="gate"),
            keras.layers.Dense(3, name="last"),
        ]
    )
    model.save(tmp_path / "m.keras")
    x = nets.inputs(model)
    found = load(tmp_path / "m.keras").model(x)
    assert nets.difference(model(x), found) <= CLOSE


@pytest.mark.parametrize("api", [keras, tf_keras])
@pytest.mark.parametrize("function", [tf.nn.softmax, tf.nn.swish])
def test_tensorflow_functions_are_keras_own(api, function, tmp_path):
    model = nets.mlp(api, function)
    for suffix in (".keras", ".h5"):
        model.save(tmp_path / f"m{suffix}")
        found = load(tmp_path / f"m{suffix}").model
        x = nets.inputs(model)
        assert nets.difference(model(x), found(x)) <= CLOSE


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
@pytest.mark.parametrize("api", [keras, tf_keras], ids=["keras3", "tf_keras"])
def test_mixed_precision_learns_in_float32_and_says_so_once(api, policy, tmp_path):
    layers = [api.layers.Dense(3, dtype=policy), api.layers.Dense(3, dtype=policy)]
    model = api.Sequential([api.layers.Input((4,)), *layers])
    model.save(tmp_path / "m.keras")
    loaded = load(tmp_path / "m.keras")
    notes = [note for note in loaded.notes if "dtype policy" in note]
    assert notes == [
        f"dtype policy {policy}: the artifact computes and learns in float32"
    ]
    assert loaded.model.layers[-1].compute_dtype == "float32"
    for ours, theirs in zip(loaded.model.weights, model.weights, strict=True):
        assert np.array_equal(ours, theirs)  # float16 fits into float32
    if api is tf_keras:
        with pytest.warns(UserWarning, match=notes[0]):
            method = Finetune(model, loss="sparse_cross_entropy")
        assert method.network.model.compute_dtype == "float32"


@pytest.mark.parametrize("suffix", [".keras", ".h5", ""])
@pytest.mark.parametrize("name", ["conv_softmax", "nested"])
def test_tf_keras_model_is_loaded_exactly(name, suffix, tmp_path):
    model = NETS[name](tf_keras)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    loaded = load(path)
    x = nets.inputs(model)
    assert np.array_equal(model(x), loaded.model(x))  # the same kernels
    assert freeze.trainable_layers(loaded.model, "all")


@keras.saving.register_keras_serializable("mine")
class Doubling(keras.layers.Layer):
    def call(self, x):
        return 2 * x


@tf_keras.saving.register_keras_serializable("mine")
class TfDoubling(tf_keras.layers.Layer):
    def call(self, x):
        return 2 * x


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("api, layer", [(keras, Doubling), (tf_keras, TfDoubling)])
def test_custom_layer_is_named(api, layer, suffix, tmp_path):
    path = tmp_path / f"m{suffix}"
    stack = [api.Input((4,)), api.layers.Dense(3), layer(name="twice")]
    api.Sequential(stack).save(path)
    with pytest.raises(ModelError, match=rf"layer 'twice' \(.*{layer.__name__}\)"):
        load(path)


def test_custom_layer_in_a_saved_model_folder_is_named(tmp_path):
    stack = [tf_keras.Input((4,)), tf_keras.layers.Dense(3), TfDoubling(name="twice")]
    tf_keras.Sequential(stack).save(tmp_path / "m")
    with pytest.raises(ModelError, match="'twice'"):
        load(tmp_path / "m")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("api", [keras, tf_keras])
def test_lambda_is_named(api, suffix, tmp_path):
    path = tmp_path / f"m{suffix}"
    halve = api.layers.Lambda(lambda x: x / 2, name="halve")
    api.Sequential([api.Input((4,)), api.layers.Dense(3), halve]).save(path)
    with pytest.raises(ModelError, match=r"layer 'halve' \(Lambda\)"):
        load(path)


@keras.saving.register_keras_serializable("mine")
def spiky(x):
    return x * x


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("activation", [spiky, keras.layers.LeakyReLU(0.1)])
def test_activation_without_a_name_in_keras_is_refused(activation, suffix, tmp_path):
    path = tmp_path / f"m{suffix}"
    dense = keras.layers.Dense(3, activation=activation, name="fc")
    keras.Sequential([keras.Input((4,)), dense]).save(path)
    with pytest.raises(ModelError, match=r"layer 'fc' \(Dense\).*(spiky|LeakyReLU)"):
        load(path)


STOCK = """
import sys
import numpy as np
import tensorflow as tf
from tests.reading import nets
assert tf.keras.__version__[0] == "3", tf.keras.__version__
for name in ("conv", "nested"):
    model = getattr(nets, name)(tf.keras)
    model.save(f"{sys.argv[1]}/{name}.keras")
    model.save(f"{sys.argv[1]}/{name}.h5")
    np.save(f"{sys.argv[1]}/{name}.npy", model(nets.inputs(model)))
"""


def test_files_of_a_process_with_stock_tf_keras(tmp_path):
    """Such a process never saw legacy Keras."""
    stock = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    command = [sys.executable, "-c", STOCK, str(tmp_path)]
    subprocess.run(command, check=True, env=stock, cwd=ROOT)
    for name in ("conv", "nested"):
        want = np.load(tmp_path / f"{name}.npy")
        for suffix in (".keras", ".h5"):
            model = load(tmp_path / f"{name}{suffix}").model
            assert nets.difference(want, model(nets.inputs(model))) <= CLOSE


def test_missing_path(tmp_path):
    with pytest.raises(ModelError, match="no model at"):
        load(tmp_path / "nothing.keras")


def test_files_that_are_no_model(tmp_path):
    text, folder = tmp_path / "m.keras", tmp_path / "folder"
    text.write_text("not a model")
    folder.mkdir()
    archive = tmp_path / "other.keras"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "hello")
    weights = tmp_path / "m.weights.h5"
    nets.mlp(keras).save_weights(weights)
    for path, message in (
        (text, "no Keras model"),
        (folder, "no saved_model.pb"),
        (archive, "no Keras model"),
        (weights, "weights only"),
    ):
        with pytest.raises(ModelError, match=message):
            load(path)


def test_damaged_files(tmp_path):
    path = tmp_path / "m.keras"
    nets.mlp(keras).save(path)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(ModelError, match=r"m\.keras"):
        load(path)
    other = tmp_path / "m.h5"
    nets.mlp(keras).save(other)
    with h5py.File(other, "r+") as file:
        del file["model_weights"]
    with pytest.raises(ModelError, match=r"m\.h5"):
        load(other)


def test_exported_graph_without_layers(tmp_path):
    nets.mlp(tf_keras).export(tmp_path / "m")
    with pytest.raises(ModelError, match="no Keras layers"):
        load(tmp_path / "m")


@pytest.mark.parametrize("api", [keras, tf_keras])
def test_model_without_weights(api, tmp_path):
    path = tmp_path / "m.keras"
    api.Sequential([api.Input((4, 2)), api.layers.Flatten()]).save(path)
    with pytest.raises(ModelError, match="no weights"):
        load(path)


def test_file_without_a_version_is_damaged(tmp_path):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps({"class_name": "Functional"}))
        file.writestr("metadata.json", "{}")
    with pytest.raises(ModelError, match="keras_version"):
        load(path)


@pytest.mark.parametrize("api", [keras, tf_keras])
def test_new_head_has_the_classes_and_keeps_the_rest(api, tmp_path):
    path = tmp_path / "m.keras"
    model = nets.conv(api, "softmax")
    model.save(path)
    loaded = load(path, num_classes=7, seed=3)
    again = load(path, num_classes=7, seed=3)
    other = load(path, num_classes=7, seed=4)
    assert loaded.num_classes == 7
    assert "'out'" in loaded.notes[-1] and "4" in loaded.notes[-1]
    assert [w.shape for w in loaded.model.get_layer("out").get_weights()] == [
        (4, 7),
        (7,),
    ]
    kernel = [m.model.get_layer("out").get_weights()[0] for m in (loaded, again, other)]
    assert np.array_equal(kernel[0], kernel[1])
    assert not np.array_equal(kernel[0], kernel[2])
    for name in ("conv", "bn", "depthwise"):
        for a, b in zip(
            model.get_layer(name).get_weights(),
            loaded.model.get_layer(name).get_weights(),
            strict=True,
        ):
            assert np.array_equal(a, b)


def test_new_head_inside_a_nested_model(tmp_path):
    nets.nested(tf_keras).save(tmp_path / "m.keras")
    loaded = load(tmp_path / "m.keras", num_classes=9)
    assert loaded.num_classes == 9
    assert "inner/fc" in loaded.notes[-1]


def test_new_head_needs_a_dense_at_the_end(tmp_path):
    stack = [tf_keras.Input((8, 8, 1)), tf_keras.layers.Conv2D(3, 3, name="conv")]
    tf_keras.Sequential(stack).save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"'conv' \(Conv2D\)"):
        load(tmp_path / "m.keras", num_classes=4)
    with pytest.raises(ModelError, match="needs 1 or more"):
        load(tmp_path / "m.keras", num_classes=0)


def _ending(last, tmp_path):
    """A file whose end is made of several Dense layers, or of one sigmoid unit."""
    kl = keras.layers
    inputs = kl.Input((4,))
    x = kl.Dense(5, activation="relu", name="hidden")(inputs)
    outputs = last(kl, x)
    keras.Model(inputs, outputs).save(tmp_path / "m.keras")
    return tmp_path / "m.keras"


def _gate(kl, x):
    z = kl.Dense(4, name="logits")(x)
    gate = kl.Dense(4, activation="sigmoid", name="gate")(z)
    return kl.Softmax()(kl.Multiply()([z, gate]))


def _two_heads(kl, x):
    heads = [kl.Dense(4, name="head_a")(x), kl.Dense(4, name="head_b")(x)]
    return kl.Softmax()(kl.Add()(heads))


def _unit(kl, x):
    return kl.Dense(1, activation="sigmoid", name="unit")(x)


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (_gate, r"made of 'gate' \(Dense\), 'logits' \(Dense\).*--head, of \['hidden'"),
        (_two_heads, r"'head_b' \(Dense\), 'head_a' \(Dense\), not of one.*--head"),
        (_unit, r"'unit' is one sigmoid unit.*--head=unit"),
        (lambda kl, x: [_unit(kl, x), kl.Dense(3)(x)], "has 2 outputs.*--output"),
    ],
)
def test_a_head_that_is_not_clear_is_asked_for(last, message, tmp_path):
    with pytest.raises(ModelError, match=message):
        load(_ending(last, tmp_path), num_classes=3)


def test_a_head_is_replaced_by_its_name(tmp_path):
    path = _ending(_unit, tmp_path)
    loaded = load(path, num_classes=3, head_layer="unit")
    assert loaded.num_classes == 3 and "'unit': 1 outputs" in loaded.notes[-1]
    assert load(path, num_classes=5, head_layer="hidden").num_classes == 1
    with pytest.raises(ModelError, match=r"'tail' is no Dense.*\['hidden', 'unit'\]"):
        load(path, num_classes=3, head_layer="tail")
    with pytest.raises(ModelError, match="needs num_classes"):
        load(path, head_layer="unit")


def test_comparison_refuses_other_weights():
    """Were the comparison blind, a wrong translation would pass."""
    model = nets.conv(keras)
    twin, _ = keras3.from_keras3(model)
    kernel, bias = twin.get_layer("depthwise").get_weights()
    kernel[1, 1, 0, 0] += 1e-3
    twin.get_layer("depthwise").set_weights([kernel, bias])
    with pytest.raises(ModelError, match=r"layer 'depthwise' \(DepthwiseConv2D\)"):
        compare.check_same(model, twin)


@pytest.mark.parametrize("api", [keras, tf_keras], ids=["keras3", "tf_keras"])
def test_a_file_of_weights_is_said_to_be_one(api, tmp_path):
    model = api.Sequential([api.layers.Input((4,)), api.layers.Dense(3)])
    model.save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ModelError, match="has weights only: load them") as error:
        load(tmp_path / "model.weights.h5")
    assert "damaged" not in str(error.value)


def test_a_model_that_tfmot_wrapped_says_what_to_do(tmp_path):
    """As `quantize_model` saves it, in which the wrapper's module is TF-MOT's."""
    tf_keras.Sequential(
        [tf_keras.layers.Input((4,)), tf_keras.layers.Dense(3, name="d")]
    ).save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    inner = config["config"]["layers"][-1]
    wrapper = {
        "module": "tensorflow_model_optimization.python.core.quantization.keras",
        "class_name": "QuantizeWrapperV2",
        "config": {"name": "quant_d", "layer": inner},
        "registered_name": "TensorflowModelOptimization>QuantizeWrapperV2",
    }
    config["config"]["layers"][-1] = wrapper
    files["config.json"] = json.dumps(config)
    with zipfile.ZipFile(tmp_path / "q.keras", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    message = "holds TF-MOT's wrappers.*save it as .h5 or as a SavedModel, or strip it"
    with pytest.raises(ModelError, match=message):
        load(tmp_path / "q.keras")
