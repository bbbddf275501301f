"""Trained weights written into the serving twin: right, exact, and nothing else."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests import nets
from tflite_odl import contract
from tflite_odl.builtin import fold, serving
from tflite_odl.errors import ArtifactError, CheckpointError
from tflite_odl.exporter import flatbuffer
from tflite_odl.exporter.compact import compact
from tflite_odl.exporter.convert import convert
from tflite_odl.host import bake
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.host.session import Session

NAMES = ["finetune-sgd", "finetune-regex", "finetune-momentum-uint8"]


@dataclasses.dataclass
class Trained:
    name: str
    artifact: Artifact
    checkpoint: object
    state: dict
    x: np.ndarray
    probabilities: np.ndarray


@pytest.fixture(scope="module", params=NAMES)
def trained(request, build, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    with Session(build(request.param), checkpoint_dir=folder) as session:
        spec = session.manifest.signature(contract.TRAIN).inputs[0]
        x = (rng.uniform(size=spec.shape) * 200).astype(spec.dtype)
        y = rng.integers(0, nets.CLASSES, nets.BATCH).astype(np.int32)
        for _ in range(5):
            session.train(x=x, y=y)
        session.save_checkpoint()
        state, found = session.state(), session.infer(x)
        return Trained(request.param, session.artifact, folder, state, x, found)


def run(model: bytes, trained: Trained, runtime: str = "interpreter") -> np.ndarray:
    manifest = bake.manifest_of(trained.artifact.manifest)
    rows = manifest.signature(contract.INFER).inputs[0].shape[0]
    with RUNTIMES[runtime](model, manifest) as loaded:
        parts = [
            loaded.run(contract.INFER, {"x": trained.x[at : at + rows]})
            for at in range(0, len(trained.x), rows)
        ]
    return np.concatenate([part["probabilities"] for part in parts])


def twin(trained: Trained) -> bake.Twin:
    return bake.Twin.from_json(trained.artifact.manifest.serving)


def shipped(trained: Trained) -> bytes:
    return (trained.artifact.path / contract.SERVING_FILE).read_bytes()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_baked_twin_answers_as_the_trained_artifact(trained, runtime):
    model = bake.bake(trained.artifact, trained.checkpoint)
    found = run(model, trained, runtime)
    # Folded batch norms: sums of other roundings, on probabilities.
    np.testing.assert_allclose(found, trained.probabilities, rtol=0, atol=1e-5)
    assert np.abs(run(shipped(trained), trained) - found).max() > 1e-3


def test_it_equals_a_fresh_conversion_of_the_same_weights(trained):
    method = nets.method_of(trained.name)
    folded = fold.folded(method.network.graph)
    graph = dataclasses.replace(folded.graph, weights=folded.values(trained.state))
    (spec,) = method.network.specs(2)

    def infer(x):
        y = serving.serve(graph, method.network.preprocess({"x": x}))
        return method.serving().finish(y)

    module = tf.Module()
    traced = tf.function(infer, [tf.TensorSpec(spec.shape, spec.dtype, "x")])
    module.functions = {"infer": traced.get_concrete_function()}
    fresh = run(compact(convert(module)), trained)
    baked = run(bake.bake(trained.artifact, trained.state), trained)
    assert fresh.tobytes() == baked.tobytes()


def test_only_the_places_of_weights_change(trained):
    before = np.frombuffer(shipped(trained), np.uint8)
    after = np.frombuffer(bake.bake(trained.artifact, trained.state), np.uint8)
    allowed = np.zeros(len(before), bool)
    for weight in twin(trained).weights:
        allowed[weight.offset : weight.offset + weight.bytes] = True
    assert (before != after).any() and not (before != after)[~allowed].any()


def test_the_shipped_state_gives_the_shipped_twin(trained):
    with Session(trained.artifact) as session:
        assert bake.bake(trained.artifact, session.state()) == shipped(trained)


def test_the_twin_holds_inference_only_with_constant_weights(trained):
    tree = flatbuffer.read(shipped(trained))
    assert list(flatbuffer.signatures(tree)) == [contract.INFER]
    ops = {flatbuffer.op_name(tree, op) for op in tree.subgraphs[0].operators}
    assert "FULLY_CONNECTED" in ops and not {"READ_VARIABLE", "BATCH_MATMUL"} & ops


@pytest.mark.parametrize(
    "place",
    [
        {"offset": -4},
        {"offset": 10**9},
        {"offset": "8"},
        {"bytes": 4},
        {"order": (0, 0)},
    ],
)
def test_a_place_that_does_not_fit_is_refused(trained, place):
    known = twin(trained)
    wrong = dataclasses.replace(known.weights[0], **place)
    with pytest.raises(ArtifactError, match="the manifest"):
        bake.patched(
            shipped(trained),
            dataclasses.replace(known, weights=(wrong,)),
            trained.state,
        )


def test_a_cut_twin_is_refused(trained):
    with pytest.raises(ArtifactError, match="the manifest says"):
        bake.patched(shipped(trained)[:-1], twin(trained), trained.state)


def test_a_state_that_is_not_whole_or_not_finite_is_refused(trained):
    name = next(n for n in trained.state if n.endswith(("kernel", "gamma")))
    lacking = {n: v for n, v in trained.state.items() if n != name}
    with pytest.raises(CheckpointError, match=name):
        bake.bake(trained.artifact, lacking)
    spoiled = {**trained.state, name: trained.state[name] * np.float32(np.inf)}
    with pytest.raises(CheckpointError, match="not finite"):
        bake.bake(trained.artifact, spoiled)


def test_a_checkpoint_of_another_artifact_is_refused(trained, build):
    other = build("finetune-mlp")
    with pytest.raises(CheckpointError, match="belongs to"):
        bake.bake(other, trained.checkpoint)


def test_no_checkpoint_is_said(trained, tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        bake.bake(trained.artifact, tmp_path)


def test_an_altered_twin_is_refused(trained, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / contract.SERVING_FILE).write_bytes(shipped(trained)[::-1])
    moved = dataclasses.replace(trained.artifact, path=folder)
    with pytest.raises(ArtifactError, match="was altered"):
        bake.bake(moved, trained.state)


def test_a_manifest_that_lacks_a_part_is_refused(trained):
    content = json.loads(json.dumps(trained.artifact.manifest.serving))
    assert bake.Twin.from_json(content) == twin(trained)
    del content["weights"][0]["offset"]
    with pytest.raises(ArtifactError, match="incomplete"):
        bake.Twin.from_json(content)


def test_the_tool_bakes_without_tensorflow(trained, tmp_path):
    out = tmp_path / "serve.tflite"
    code = (
        "import sys, runpy; sys.modules['tensorflow'] = sys.modules['tf_keras'] = None;"
        "sys.path.insert(0, 'tools');"
        f"sys.argv = ['bake', {str(trained.artifact.path)!r}, "
        f"{str(trained.checkpoint)!r}, '--out={out}'];"
        "runpy.run_path('tools/bake.py', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["taken"]
    assert out.read_bytes() == bake.bake(trained.artifact, trained.checkpoint)
