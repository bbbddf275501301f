"""An int8 backbone in front of float layers that learn; the silent traps on the way."""

import contextlib
import dataclasses
import functools

import numpy as np
import pytest
import tf_keras
from tf_keras import layers as kl

from tests import nets
from tests.builtin.test_fold import randomize
from tflite_odl import contract
from tflite_odl.builtin.fake_quant import quantized_kernel
from tflite_odl.builtin.quantized import split
from tflite_odl.errors import ExportError
from tflite_odl.exporter import flatbuffer, int8, recipes, tfmot
from tflite_odl.exporter.convert import convert
from tflite_odl.exporter.export import export
from tflite_odl.host import bake
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.host.session import Session
from tflite_odl.methods import Finetune, Skip
from tflite_odl.proof import backbones
from tflite_odl.proof.candidate import ParityError
from tflite_odl.proof.references.backbone import run_alone
from tflite_odl.quantizing import nudged
from tflite_odl.signatures import TrainableModule

RECIPE = recipes.recipe("int8_backbone")
LAST = "^(conv2|head)$"


def rows(count=64, seed=0, shape=(6, 6, 2)):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def method_of(trainable=LAST, kind=Finetune, **options):
    options = {"loss": "sparse_cross_entropy", **options}
    return kind(randomize(nets.conv_net()), trainable=trainable, **options)


@functools.cache
def made() -> int8.Quantized:
    return int8.quantized(method_of(), RECIPE, rows())


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    found = export(
        method_of(learning_rate=0.1),
        nets.BATCH,
        2,
        quantize=RECIPE.name,
        calibrate=rows(),
    )
    return Artifact.open(found.save(tmp_path_factory.mktemp("int8") / "artifact"))


def int8_ops(model: bytes, signature: str) -> list[str]:
    tree = flatbuffer.read(model)
    graph = tree.subgraphs[flatbuffer.signatures(tree)[signature].subgraph]
    return [
        flatbuffer.op_name(tree, op)
        for op in graph.operators
        if "int8" in [flatbuffer.dtype(graph.tensors[i]) for i in op.outputs]
    ]


def test_the_frozen_part_is_int8_in_every_signature_that_computes(artifact):
    for name in (contract.TRAIN, contract.INFER, contract.EVALUATE):
        ops = int8_ops(artifact.model, name)
        assert {"QUANTIZE", "CONV_2D", "DEPTHWISE_CONV_2D", "ADD"} <= set(ops)
    said = artifact.manifest.quantization
    assert said["recipe"] == RECIPE.name and said["int8_layers"] == [
        "conv",
        "depthwise",
    ]
    assert said["float_layers"] == [] and said["calibration_rows"] == 64
    assert {spec.dtype for spec in artifact.manifest.state} <= {"float32", "int32"}
    assert artifact.manifest.proofs["int8_backbone"]["steps_of_a_layer"] <= 1.001


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_it_learns(artifact, runtime):
    x, y = rows(nets.BATCH, 3), np.arange(nets.BATCH, dtype=np.int32) % nets.CLASSES
    with Session(artifact, runtime) as session:
        losses = [float(session.train(x=x, y=y)["loss"][0]) for _ in range(40)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_rows_are_judged_before_they_are_quantized(artifact, runtime):
    x, y = rows(nets.BATCH, 4), np.arange(nets.BATCH, dtype=np.int32) % nets.CLASSES
    for bad in (np.nan, np.inf, -np.inf):
        spoiled = x.copy()
        spoiled[1, 2, 3, 0] = bad
        with Session(artifact, runtime) as session:
            assert session.train(x=spoiled, y=y)["rejected_rows"][0] == 1
        with Session(artifact, runtime) as session:
            found = session.infer(spoiled)
            assert (
                np.isnan(found[1]).all() and np.isfinite(np.delete(found, 1, 0)).all()
            )
            assert session.evaluate(spoiled, y)["count"] == nets.BATCH - 1


def test_the_serving_twin_is_int8_too_and_is_baked(artifact):
    x, y = rows(nets.BATCH, 5), np.arange(nets.BATCH, dtype=np.int32) % nets.CLASSES
    with Session(artifact) as session:
        for _ in range(5):
            session.train(x=x, y=y)
        model = bake.bake(artifact, session.state())
        expected = session.infer(x[:2])
    assert {"CONV_2D", "ADD"} <= set(int8_ops(model, contract.INFER))
    alone = bake.manifest_of(artifact.manifest)
    with RUNTIMES["interpreter"](model, alone) as runtime:
        found = runtime.run(contract.INFER, {"x": x[:2]})["probabilities"]
    # The same int8 kernels, then sums of other roundings.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_skip_takes_a_backbone_as_well():
    method = method_of(kind=Skip, learning_rate=0.1)
    found = export(method, nets.BATCH, quantize=RECIPE.name, calibrate=rows())
    assert "CONV_2D" in int8_ops(found.model, contract.TRAIN)
    assert method.network.backbone is None  # the user's own is as it was


def test_ranges_are_those_of_the_rows_and_batch_norms_stay():
    method, x = method_of(), rows()
    model = method.network.model
    before = [value.copy() for value in model.get_weights()]
    found = tfmot.calibrated(model, ["add"], [x])
    assert all(map(np.array_equal, before, model.get_weights()))
    part = tf_keras.Model(model.input, model.get_layer("relu").output)
    low, high = found.outputs["relu"]
    expected = part(x, training=False).numpy().max()
    # A moving average of batches' maxima, of which the largest is the expected one.
    assert low == 0 and 0.7 * expected < high <= expected
    (ends,) = found.inputs
    assert x.min() <= ends[0] < 0.7 * x.min() and 0.7 * x.max() < ends[1] <= x.max()


def test_ranges_that_do_not_move_are_refused(monkeypatch):
    monkeypatch.setattr(tfmot, "BATCHES", 0)
    with pytest.raises(ExportError, match="did not move"):
        tfmot.calibrated(method_of().network.model, ["add"], [rows()])


def test_tfmots_own_average_would_leave_the_ranges_where_they_were(monkeypatch):
    monkeypatch.setattr(tfmot, "BATCHES", 1)
    monkeypatch.setattr(tfmot, "_average", lambda decay: contextlib.nullcontext())
    found = tfmot.calibrated(method_of().network.model, ["add"], [rows() * 0.1])
    assert all(high > 5.9 for _, high in found.outputs.values())


def test_layers_tfmot_does_not_know_stay_float_and_are_named():
    inputs = kl.Input((6, 6, 2))
    x = kl.Conv2D(4, 3, padding="same", activation="relu", name="known")(inputs)
    x = kl.PReLU(shared_axes=[1, 2], name="unknown")(x)
    x = kl.Conv2D(4, 3, activation="relu", name="beyond")(x)
    x = kl.Dense(3, name="head")(kl.Flatten(name="flat")(x))
    method = Finetune(
        randomize(tf_keras.Model(inputs, x)),
        trainable="head",
        loss="sparse_cross_entropy",
    )
    found = int8.quantized(method, RECIPE, rows())
    assert found.unknown == ("unknown",)
    assert found.backbone.layers == ("known",)
    assert set(found.backbone.float_layers) == {"unknown", "beyond"}
    module = TrainableModule(found.method, nets.BATCH, 2)
    ops = int8.audit_int8(
        convert(module, int8=True), found.method.layers(), found.backbone
    )
    assert ops["train"]["CONV_2D"] == 1


def test_a_frozen_layer_behind_the_first_that_learns_stays_float():
    method = method_of("^(conv|norm|head)$")
    with pytest.raises(ExportError, match="nothing is"):
        int8.quantized(method, RECIPE, rows())
    parts = split(method_of("^(conv2)$").network.graph)
    assert parts.ends == ("add",)
    found = int8.quantized(method_of("^(conv2)$"), RECIPE, rows())
    module = TrainableModule(found.method, nets.BATCH, 2)
    model = convert(module, int8=True)
    ops = int8.audit_int8(model, found.method.layers(), found.backbone)
    assert "FULLY_CONNECTED" not in ops["infer"]  # of the frozen head


def test_the_audit_finds_what_became_int8_unasked_and_what_did_not():
    found = made()
    module = TrainableModule(found.method, nets.BATCH, 2)
    layers, model = found.method.layers(), convert(module, int8=True)
    assert int8.audit_int8(model, layers, found.backbone)
    less = dataclasses.replace(
        found.backbone,
        graph=dataclasses.replace(
            found.backbone.graph,
            nodes=tuple(
                n
                for n in found.backbone.graph.nodes
                if n.layer not in ("depthwise", "relu6")
            ),
        ),
        ranges={},
    )
    with pytest.raises(ExportError, match="'depthwise'.* became int8"):
        int8.audit_int8(model, layers, less)
    plain = convert(TrainableModule(method_of(), nets.BATCH, 2))
    with pytest.raises(ExportError, match="0 of 2 layers multiply in int8"):
        int8.audit_int8(plain, layers, found.backbone)


def test_a_layer_that_is_off_is_found():
    backbone, x = made().backbone, [rows(4)]
    network = method_of().network
    everything = convert(int8._Alone(backbone.everything(), network), int8=True)
    theirs = tfmot.calibrated(network.model, ["add"], [rows()])
    assert backbones.prove(backbone, everything, theirs.model, theirs.plain, x)
    weights = dict(backbone.graph.weights)
    name = next(n for n in weights if "depthwise" in n and "kernel" in n)
    weights[name] = weights[name] * np.float32(1.05)
    wrong = dataclasses.replace(
        backbone, graph=dataclasses.replace(backbone.graph, weights=weights)
    )
    with pytest.raises(ParityError, match="layer 'relu6'"):
        backbones.prove(wrong, everything, theirs.model, theirs.plain, x)


def test_outputs_that_are_not_tfmots_are_found():
    model = tf_keras.Sequential(
        [
            kl.Input((6, 6, 2)),
            kl.Conv2D(4, 3, activation="relu", name="conv"),
            kl.GlobalAveragePooling2D(name="pool"),
            kl.Dense(3, name="head"),
        ]
    )
    method = Finetune(randomize(model), trainable="head", loss="sparse_cross_entropy")
    backbone, network = int8.quantized(method, RECIPE, rows()).backbone, method.network
    everything = convert(int8._Alone(backbone.everything(), network), int8=True)
    theirs = tfmot.calibrated(network.model, ["pool"], [rows()])
    x = [rows(8)]
    assert backbones.prove(backbone, everything, theirs.model, theirs.plain, x)
    randomize(model, seed=1)
    other = tfmot.calibrated(model, ["pool"], [rows()])
    with pytest.raises(ParityError, match="on average"):
        backbones.prove(backbone, everything, other.model, other.model, x)


def test_a_channel_of_zeros_keeps_its_bias():
    inputs = kl.Input((6, 6, 2))
    conv = kl.Conv2D(4, 3, padding="same", activation="relu", name="conv")
    model = tf_keras.Model(inputs, kl.Dense(3, name="head")(kl.Flatten()(conv(inputs))))
    randomize(model)
    kernel, _ = conv.get_weights()
    kernel[..., 1] = 0
    conv.set_weights([kernel, np.array([0.5, 3.0, -0.5, 0.2], np.float32)])
    found = int8.quantized(
        Finetune(model, trainable="head", loss="sparse_cross_entropy"), RECIPE, rows()
    )
    (value,) = run_alone(found.backbone.alone)([rows(2)])
    end = next(iter(found.backbone.ends.values()))
    step = found.backbone.step(end)
    channel = value.reshape(2, 6, 6, 4)[..., 1]
    np.testing.assert_allclose(channel, 3.0, rtol=0, atol=step)  # one step


@pytest.mark.parametrize("op", ["conv2d", "depthwise", "dense"])
def test_kernels_have_a_scale_for_each_output_channel_a_dense_one_for_all(op):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 1)).astype(np.float32)
    kernel *= np.array([1, 10, 100, 1000], np.float32)[:, None]
    kernel = {"conv2d": kernel.transpose(0, 1, 3, 2), "depthwise": kernel}.get(
        op, kernel[0, :, :, 0]
    )
    found = quantized_kernel(op, kernel, None, 0.1).numpy()
    channels = np.abs(kernel).reshape(-1, 4).max(0)
    if op == "dense":
        channels = channels.max()
    step = (channels / 127).reshape(-1, 1) if op == "depthwise" else channels / 127
    # Half a step, and float32's rounding of it.
    assert (np.abs(found - kernel) <= 0.5001 * step).all()


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (None, "needs rows to calibrate"),
        (rows(0), "takes rows"),
        (rows() * np.nan, "finite"),
        (rows(shape=(5, 5, 2)), "takes"),
        (rows().astype(np.float64), "float64"),
        ({"other": rows()}, "other"),
    ],
)
def test_rows_to_calibrate_with_are_checked(given, match):
    with pytest.raises(ExportError, match=match):
        export(method_of(), nets.BATCH, quantize=RECIPE.name, calibrate=given)


def test_a_float_export_has_no_use_for_rows():
    with pytest.raises(ExportError, match="'float32' finds no ranges"):
        export(method_of(), nets.BATCH, calibrate=rows())


def test_ranges_go_through_what_only_moves():
    model = tf_keras.Sequential(
        [
            kl.Input((6, 6, 2)),
            kl.Conv2D(4, 3, padding="same", activation="relu", name="conv"),
            kl.MaxPooling2D(2, name="pool"),
            kl.Conv2D(4, 2, activation="relu", name="conv_2"),
            kl.Flatten(name="flat"),
            kl.Dense(3, name="head"),
        ]
    )
    method = Finetune(randomize(model), trainable="head", loss="sparse_cross_entropy")
    found = int8.quantized(method, RECIPE, rows())
    assert found.backbone.layers == ("conv", "conv_2")
    assert found.backbone.step("pool") == found.backbone.step("conv/activation") > 0


def test_a_zero_point_between_two_steps_is_settled():
    low, high = nudged(-1.0, 1.0)
    step = (high - low) / 255
    assert step == pytest.approx(2 / 255, rel=1e-12) and low == -128 * step
    model = tf_keras.Sequential(
        [
            kl.Input((6, 6, 2)),
            kl.Conv2D(4, 3, activation="relu", name="conv"),
            kl.AveragePooling2D(2, name="average"),
            kl.Conv2D(4, 1, activation="relu", name="conv_2"),
            kl.GlobalAveragePooling2D(name="pool"),
            kl.Dense(3, name="head"),
        ]
    )
    x = np.clip(rows(), -1, 1)  # images from -1 to 1: the ends themselves occur
    found = int8.quantized(
        Finetune(randomize(model), trainable="head", loss="sparse_cross_entropy"),
        RECIPE,
        x,
    )
    assert found.proofs["steps_from_tfmot"] <= 1.001
    assert found.backbone.ranges["average"] == found.backbone.range_of(
        "conv/activation"
    )


def test_a_convolution_that_learns_on_int8_values_is_exact():
    model = tf_keras.Sequential(
        [
            kl.Input((6, 6, 2)),
            kl.Conv2D(4, 3, padding="same", activation="relu", name="conv"),
            kl.Conv2D(4, 3, padding="same", activation="relu", name="learns"),
            kl.Flatten(name="flat"),
            kl.Dense(3, name="head"),
        ]
    )
    method = Finetune(
        randomize(model),
        trainable="last:2",
        learning_rate=0.1,
        loss="sparse_cross_entropy",
    )
    found = export(method, nets.BATCH, quantize=RECIPE.name, calibrate=rows())
    # Its shifts may be int8, joined with zeros; the gate has compared what comes of it.
    assert found.manifest.proofs["interpreter"]["train_whole_tensor"] < 1e-5
    assert found.manifest.quantization["int8_layers"] == ["conv"]
