"""The int8 serving twin: baked as if converted afresh, its ranges following."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tests import nets
from tests.builtin.test_fold import randomize
from tflite_odl import contract, quantizing
from tflite_odl.builtin import fold, quantized
from tflite_odl.builtin.observe import DECAY, SEEN
from tflite_odl.builtin.quantized import Backbone
from tflite_odl.builtin.ranges import places
from tflite_odl.errors import CheckpointError, ExportError
from tflite_odl.exporter import flatbuffer, int8_twin
from tflite_odl.exporter.compact import compact
from tflite_odl.exporter.convert import convert
from tflite_odl.exporter.export import export
from tflite_odl.exporter.twin import Inference
from tflite_odl.host import bake
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.int8 import Span
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.host.session import Session
from tflite_odl.methods import Finetune
from tflite_odl.proof import int8_twins
from tflite_odl.proof.candidate import ParityError

RECIPE = "int8_serve"
LOSS = "sparse_cross_entropy"


def made(model: tf_keras.Model, rows=None, **options):
    """Returns (method that follows its activations, plan, twin)."""
    method = Finetune(randomize(model), learning_rate=0.1, **{"loss": LOSS, **options})
    rows = nets.calibration(method) if rows is None else rows
    plan = int8_twin.planned(method.network, rows)
    method = method.observing(plan.observed)
    return method, plan, int8_twin.serve(method, plan, 2)


@functools.cache
def of(name: str):
    options = {"loss": "mean_squared_error"} if name == "two_inputs" else {}
    return made(getattr(nets, name)(), **options)


def other_state(method, seed=3):
    """Returns a state whose weights and ranges are all others."""
    rng = np.random.default_rng(seed)
    state = {name: tensor.value for name, tensor in method.state().items()}
    for name in (*method.network.graph.stateful, SEEN):
        value = state[name]
        state[name] = (value * rng.uniform(0.5, 2, value.shape)).astype(np.float32)
    return state


def constants(model: bytes):
    """Returns [(dtype, data, scales, zero points)] of a file's quantized tensors, as
    its ops read them."""
    tree = flatbuffer.read(model)
    (graph,) = tree.subgraphs
    found = []
    for index in [i for op in graph.operators for i in (*op.inputs, *op.outputs)]:
        tensor = graph.tensors[index]
        if tensor.quantization is None or tensor.quantization.scale is None:
            continue
        data, kind = tree.buffers[tensor.buffer].data, flatbuffer.dtype(tensor)
        data = None if data is None else np.asarray(data).view(kind)
        q = tensor.quantization
        found.append((kind, data, list(q.scale), list(q.zeroPoint)))
    return found


@pytest.mark.parametrize(
    "name", ["conv_net", "gated_net", "window_net", "sequence_net", "two_inputs"]
)
def test_a_baked_twin_is_the_graph_converted_afresh(name):
    method, plan, twin = of(name)
    state = other_state(method)
    baked = twin.bake(state)
    backbone = twin.expected(state)
    graph = int8_twin._with_biases(backbone.graph, plan.places)
    backbone = dataclasses.replace(backbone, graph=graph)
    end = graph.output.name
    module = Inference(method, 2, lambda x: backbone.run(x)[end])
    fresh = compact(convert(module, int8=True))
    off, ours, theirs = 0, constants(baked), constants(fresh)
    assert len(ours) == len(theirs) > 3
    for (kind, data, *own), (other, expected, *others) in zip(ours, theirs):
        assert kind == other and own == others  # scales and zero points, exactly
        if kind == "int32":
            assert np.array_equal(data, expected)
        elif data is not None:
            difference = np.abs(data.astype(int) - expected)
            assert difference.max() <= 1
            off += int(difference.sum())
    # The converter divides in another order: halves may go to another side.
    assert off <= 4


def test_a_weight_or_a_range_that_bake_forgets_is_found(build):
    artifact = Artifact.open(build("finetune-int8-serve"))
    method = nets.method_of("finetune-int8-serve")
    plan = int8_twin.planned(method.network, nets.calibration(method))
    method = method.observing(plan.observed)
    twin = int8_twin.serve(method, plan, 2)
    shipped = {name: tensor.value for name, tensor in method.state().items()}
    kind, alone = RUNTIMES["interpreter"], bake.manifest_of(artifact.manifest)

    def prove(twin):
        with kind(artifact.model, artifact.manifest) as runtime:
            return int8_twins.prove(
                {"interpreter": runtime},
                {"interpreter": lambda state: kind(twin.bake(state), alone)},
                twin,
                shipped,
                plan.sample,
            )

    # One step, and float32's own rounding of it.
    assert prove(twin)["moved"]["steps_of_a_layer"] <= 1.001

    class Forgetful(int8_twin.ServedInt8):
        def bake(self, state):
            return bake.patched(self.model, self.forgetting, state)

    int8 = twin.twin.int8
    for part in ("layers", "spans"):
        for number in range(len(getattr(int8, part))):
            kept = list(getattr(int8, part))
            gone = kept.pop(number)
            # A span is still needed by the layers that read from it: it keeps the
            # place of another one's bytes, which are written twice.
            if part == "spans":
                other = kept[0]
                places = {"scale": other.scale, "zero_point": other.zero_point}
                kept.insert(0, dataclasses.replace(gone, **places))
            wrong = dataclasses.replace(int8, **{part: tuple(kept)})
            forgetful = Forgetful(**vars(twin))
            object.__setattr__(
                forgetful, "forgetting", dataclasses.replace(twin.twin, int8=wrong)
            )
            with pytest.raises(ParityError, match="int8, layer"):
                prove(forgetful)


def test_training_follows_the_batch_and_only_rows_that_count(build):
    with Session(build("finetune-int8-serve")) as session:
        before = session.state()
        x = np.random.default_rng(5).normal(size=(nets.BATCH, 6, 6, 2)) * 9
        x, y = x.astype(np.float32), np.zeros(nets.BATCH, np.int32)
        x[4] = 1e5  # of a row that does not count, for its label is none
        y[4] = nets.CLASSES
        session.train(x=x, y=y)
        after = session.state()
    good = np.delete(x, 4, 0)
    plan = session.manifest.serving["int8"]["spans"]
    places = plan[0]["seen"]  # of the input, which comes first
    for place, reached in zip(places, (-good.min(), good.max())):
        expected = before[SEEN][place] * DECAY + reached * (1 - DECAY)
        assert after[SEEN][place] == pytest.approx(expected, rel=1e-6)  # float32
    assert (after[SEEN] != before[SEEN]).mean() > 0.5


def test_ranges_are_widened_never_narrowed(build):
    artifact = Artifact.open(build("finetune-int8-serve"))
    twin = bake.Twin.from_json(artifact.manifest.serving)
    with Session(artifact) as session:
        state = session.state()
    shipped = twin.int8.ranges(state)
    for factor in (0.0, 10.0):
        ranges = twin.int8.ranges({**state, SEEN: state[SEEN] * np.float32(factor)})
        for name, (low, high) in ranges.items():
            below, above = shipped[name]
            # A step, by which a range is moved so that 0 is on one.
            step = (high - low) / 255
            assert low <= below + step and high >= above - step
    assert all(high > 5 * shipped[name][1] for name, (_, high) in ranges.items())


def test_a_range_that_is_nothing_has_a_floor_and_0_is_exact():
    span = Span("dead", 0.0, 0.0, (None, None), 0, 0)
    low, high = span.ends(np.zeros(0))
    assert low == 0 and high == pytest.approx(quantizing.LEAST_ACTIVATION)
    for ends in ((-1.0, 1.0), (-0.3, 5.0), (0.0, 6.0), (-2.0, 0.0)):
        step, zero_point = quantizing.encoding(*quantizing.nudged(*ends))
        assert -128 <= zero_point <= 127 and step > 0


def test_a_state_without_finite_ranges_is_refused(build):
    artifact = Artifact.open(build("finetune-int8-serve"))
    with Session(artifact) as session:
        state = session.state()
    spoiled = {**state, SEEN: state[SEEN] * np.float32(np.nan)}
    with pytest.raises(CheckpointError, match=SEEN):
        bake.bake(artifact, spoiled)
    with pytest.raises(CheckpointError, match=SEEN):
        bake.bake(artifact, {n: v for n, v in state.items() if n != SEEN})


def test_a_channel_of_zeros_keeps_its_bias(build):
    artifact = Artifact.open(build("finetune-int8-serve"))
    with Session(artifact) as session:
        state = {name: value.copy() for name, value in session.state().items()}
    state["conv2_kernel"][..., 1] = 0
    state["conv2_bias"][1] = 3.0
    twin = bake.Twin.from_json(artifact.manifest.serving)
    layer = next(x for x in twin.int8.layers if x.kernel.kernel == "conv2_kernel")
    model = bake.bake(artifact, state)
    count = layer.kernel.channels
    bias = np.frombuffer(model, "<i4", count, layer.bias_offset)
    scales = np.frombuffer(model, "<f4", count, layer.bias_scales)
    np.testing.assert_allclose((bias * scales)[1], 3.0, rtol=1e-6)  # 2^30 steps


def test_a_row_with_nan_is_judged_before_it_is_quantized(monkeypatch, build):
    method, plan, twin = of("conv_net")
    model = twin.bake({name: t.value for name, t in method.state().items()})
    artifact = Artifact.open(build("finetune-int8-serve"))
    alone = bake.manifest_of(artifact.manifest)
    x = np.ones((2, 6, 6, 2), np.float32)
    x[1, 2, 3, 0] = np.nan
    for kind in RUNTIMES.values():
        with kind(model, alone) as runtime:
            (found,) = runtime.run(contract.INFER, {"x": x}).values()
        assert np.isfinite(found[0]).all() and np.isnan(found[1]).all()
    monkeypatch.setattr(Backbone, "run", Backbone.values)
    unjudged = int8_twin.serve(method, plan, 2)
    model = unjudged.bake({name: t.value for name, t in method.state().items()})
    with RUNTIMES["interpreter"](model, alone) as runtime:
        with pytest.raises(ParityError, match="with NaN"):
            int8_twins._check_bad_rows(runtime, {"x": x * 0 + 1})


def test_frozen_layers_read_ranges_that_stay():
    method, plan, twin = made(nets.conv_net(), trainable="^(conv2|head)$")
    followed = {extreme.node for extreme in plan.observed.extremes}
    # Their biases are in steps of what they read.
    assert not followed & {"input_1", "relu"} and "add" in followed
    assert {x.kernel.kernel for x in twin.twin.int8.layers} == {
        "conv2_kernel",
        "head_kernel",
    }


def test_constants_that_would_hold_a_zero_point_are_kept_out():
    inputs = kl.Input((6, 6, 2))
    x = kl.Conv2D(4, 3, 2, padding="same", activation="relu")(inputs)
    x = kl.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = kl.DepthwiseConv2D(3, 2, activation="relu")(x)
    x = kl.ZeroPadding2D(1)(x)
    x = kl.MaxPooling2D(2)(x)
    x = kl.Dense(3, name="head")(kl.Flatten()(x))
    method, plan, twin = made(tf_keras.Model(inputs, x))
    state = other_state(method)
    rows = plan.sample
    (value,) = rows.values()
    expected = twin.expected(state)
    preprocessed = [tf.constant(value[:2])]
    (found,) = expected.run(preprocessed).values()
    with RUNTIMES["interpreter"](twin.bake(state), _alone(method)) as runtime:
        (served,) = runtime.run(
            contract.INFER, {n: v[:2] for n, v in rows.items()}
        ).values()
    # A few layers' single steps of rounding, on probabilities.
    np.testing.assert_allclose(served, tf.nn.softmax(found), rtol=0, atol=0.05)


def _alone(method):
    entry = next(e for e in method.entries(2, 2) if e.name == contract.INFER)
    output = contract.TensorSpec("probabilities", "float32", (2, nets.CLASSES))
    signature = contract.Signature(contract.INFER, entry.inputs, (output,))
    return contract.Manifest("0", {}, {contract.INFER: signature}, ())


def test_what_is_int8_is_said(build):
    said = Artifact.open(build("finetune-int8-serve")).manifest.quantization
    assert said["recipe"] == RECIPE and said["int8_share_of_multiply_adds"] == 1.0
    assert said["int8_layers"] == ["conv", "depthwise", "conv2", "head"]
    graph = fold.folded(Finetune(nets.noisy_net(), loss=LOSS).network.graph).graph
    assert set(places(graph).float_layers) == {"groups", "layers"}


def test_a_float_recipe_follows_nothing(build):
    artifact = Artifact.open(build("finetune-sgd"))
    assert SEEN not in {spec.name for spec in artifact.manifest.state}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "needs rows to calibrate"),
        ({"serving": False, "calibrate": 0}, "is left out"),
    ],
)
def test_an_int8_twin_needs_rows_and_a_twin(options, match):
    if "calibrate" in options:
        options = {
            **options,
            "calibrate": nets.calibration(nets.method_of("finetune-sgd")),
        }
    with pytest.raises(ExportError, match=match):
        export(nets.method_of("finetune-sgd"), nets.BATCH, quantize=RECIPE, **options)


def test_a_method_without_a_twin_refuses_its_recipe():
    method = nets.method_of("distill-frozen")
    if method.bakes:
        pytest.skip("distill has a twin of its own")
    with pytest.raises(ExportError, match="distill has none"):
        export(method, nets.BATCH, quantize=RECIPE, calibrate=nets.calibration(method))


def test_rows_that_overflow_are_refused():
    method = Finetune(randomize(nets.conv_net()), loss=LOSS)
    rows = np.full((4, 6, 6, 2), 3e38, np.float32)
    with pytest.raises(ExportError, match="not finite"):
        int8_twin.planned(method.network, rows)


def test_ops_of_int8_are_those_of_the_plan():
    _, plan, _ = of("gated_net")
    assert plan.places.int8_products > 0.9 * plan.places.products
    assert quantized.source(plan.folded.graph, "head") == "head"
