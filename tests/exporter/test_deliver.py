"""The student alone: as small as it is said to be, and answering as `infer` does."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests import nets
from tflite_odl import contract
from tflite_odl.errors import ArtifactError, DataError, ExportError
from tflite_odl.exporter import flatbuffer
from tflite_odl.exporter.deliver import MODEL, PACKED, deliver, totals
from tflite_odl.exporter.places import quantized
from tflite_odl.host import bake, download
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.host.session import Session
from tflite_odl.streams import packed

NAMES = ["distill-online", "distill-int4-adam-cosine", "distill-ternary-noisy"]


@pytest.fixture(scope="module", params=NAMES)
def trained(request, build):
    """Returns (artifact, state after training, rows, what `infer` says of them)."""
    rng = np.random.default_rng(0)
    with Session(build(request.param)) as session:
        spec = session.manifest.signature(contract.TRAIN).inputs[0]
        x = rng.normal(size=spec.shape).astype(np.float32)
        y = rng.integers(0, nets.CLASSES, nets.BATCH).astype(np.int32)
        for _ in range(5):
            session.train(x=x, y=y)
        return session.artifact, session.state(), x, session.infer(x)


def answers(model: bytes, artifact: Artifact, x, runtime: str) -> np.ndarray:
    with RUNTIMES[runtime](model, bake.manifest_of(artifact.manifest)) as loaded:
        rows = artifact.manifest.signature(contract.INFER).inputs[0].shape[0]
        parts = [
            loaded.run(contract.INFER, {"x": x[at : at + rows]})["probabilities"]
            for at in range(0, len(x), rows)
        ]
    return np.concatenate(parts)


@pytest.mark.parametrize(
    "dense_bits", [8, *(pytest.param(bits, marks=pytest.mark.slow) for bits in (4, 2))]
)
def test_a_student_answers_as_the_trained_artifact(trained, dense_bits):
    artifact, state, x, expected = trained
    student = deliver(artifact, state, dense_bits)
    for runtime in RUNTIMES:
        found = answers(student.model, artifact, x, runtime)
        # Folded norms and scales: sums of other roundings; no activation of these rows
        # is within a rounding of an edge.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_kernels_are_installed_in_int8_and_the_rest_in_float32(trained):
    artifact, state, *_ = trained
    tree = flatbuffer.read(deliver(artifact, state).model)
    (graph,) = tree.subgraphs
    ops = [flatbuffer.op_name(tree, op) for op in graph.operators]
    kernels = quantized(deliver(artifact, state).model)
    assert ops.count("DEQUANTIZE") == len(kernels) >= 1
    types = {flatbuffer.dtype(tensor) for tensor in graph.tensors}
    assert types <= {"int8", "float32", "int32"}


def test_the_download_is_unpacked_to_the_byte(trained, tmp_path):
    artifact, state, *_ = trained
    student = deliver(artifact, state)
    folder = student.save(tmp_path / "student")
    download.install(folder / PACKED, tmp_path / "installed.tflite")
    assert (tmp_path / "installed.tflite").read_bytes() == student.model
    assert (folder / MODEL).read_bytes() == student.model
    about = json.loads((folder / "student.json").read_text())
    assert about["download"]["bytes"] == (folder / PACKED).stat().st_size
    # Who serves the files to apps is often another user.
    modes = {path.stat().st_mode for path in folder.iterdir()}
    assert len(modes) == 1


def test_a_damaged_download_is_refused(trained, tmp_path):
    artifact, state, *_ = trained
    arrays, facts = deliver(artifact, state).packed
    arrays = {**arrays, "bits": arrays["bits"] ^ 1}
    with pytest.raises(DataError, match="damaged"):
        download.unpack(arrays, facts)
    with pytest.raises(DataError, match="not a packed student"):
        download.unpack({}, facts)
    path = tmp_path / "student.packed"
    packed.write(path, *deliver(artifact, state).packed)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        download.install(path, tmp_path / "student.tflite")
    assert not (tmp_path / "student.tflite").exists()


@pytest.mark.parametrize("width", range(1, 9))
def test_levels_of_every_width_come_back(width):
    high = 2 ** (width - 1) - 1
    levels = np.arange(-high, high + 1) if width > 1 else np.array([1, -1, -1])
    levels = np.resize(levels, 37).astype(np.int8)
    assert download.bits_of(levels) == width
    bits = download.to_bits(levels, width)
    assert len(bits) == -(-37 * width // 8)
    assert (download.from_bits(bits, 37, width) == levels).all()


def test_a_wide_binary_layer_is_as_small_as_promised(build):
    """Of 3x3 kernels of 16 channels: 1/16 of float32's bytes, installed .28."""
    from tf_keras import layers as kl
    from tf_keras import models as km

    from tflite_odl.exporter.twin import serve
    from tflite_odl.methods import Distill

    conv = [
        kl.Conv2D(16, 3, padding="same", use_bias=False, name=f"conv{n}")
        for n in range(3)
    ]
    model = km.Sequential(
        [kl.Input((8, 8, 3)), *conv, kl.GlobalAveragePooling2D(), kl.Dense(3)]
    )
    served = serve(Distill(model))
    kernels = quantized(served.model)
    assert [one.bits for one in kernels] == [8, 8]
    floats = sum(4 * one.weights for one in kernels)
    installed = sum(one.weights + 12 * one.channels for one in kernels)
    assert installed <= 0.28 * floats
    arrays, _ = download.pack(served.model, [(k.offset, k.weights) for k in kernels])
    scales = sum(4 * one.channels for one in kernels)
    assert arrays["bits"].nbytes + scales <= floats / 16


def test_what_cannot_be_delivered_is_refused(build, trained, tmp_path):
    artifact, state, *_ = trained
    with pytest.raises(ExportError, match="dense_bits is 3"):
        deliver(artifact, state, 3)
    real = Artifact.open(build("finetune-sgd"))
    with Session(real) as session, pytest.raises(ExportError, match="bake"):
        deliver(real, session.state())
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="other files"):
        deliver(artifact, state).save(tmp_path)


def test_the_tool_delivers_a_run_without_tensorflow(build, tmp_path):
    run, out = tmp_path / "run", tmp_path / "student"
    with Session(build("distill-online"), checkpoint_dir=run) as session:
        session.save_checkpoint()
    facts = {"artifact": str(build("distill-online"))}
    (run / "run.json").write_text(json.dumps(facts))
    script = (
        "import sys, runpy; sys.modules['tensorflow'] = None; "
        f"sys.argv = ['deliver', {str(run)!r}, '--out={out}']; "
        "sys.path.insert(0, 'tools'); "
        "runpy.run_path('tools/deliver.py', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["installed_bytes"] == (out / MODEL).stat().st_size
    assert summary["quantized_kernels"] == totals(
        json.loads((out / "student.json").read_text())["kernels"]
    )
