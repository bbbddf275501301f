"""A compacted, labelled model is smaller and computes the same bits."""

import json

import flatbuffers
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from tests.exporter import runtimes, tiny_trainer
from tflite_odl.errors import ArtifactError
from tflite_odl.exporter import flatbuffer
from tflite_odl.exporter.compact import compact
from tflite_odl.exporter.sharing import SharingBuilder
from tflite_odl.host import embedded

MANIFEST = json.dumps({"contract_version": 1, "about": "é" * 300})


@pytest.fixture(scope="module")
def model() -> bytes:
    return tiny_trainer.model()


@pytest.fixture(scope="module")
def compacted(model) -> bytes:
    return compact(model)


@pytest.fixture(scope="module")
def calls():
    rng = np.random.default_rng(1)
    batch = {
        "x": rng.normal(size=(4, 8)).astype(np.float32),
        "y": np.array([0, 1, 2, 0], np.int32),
    }
    state = {
        "kernel": rng.normal(size=(8, 3)).astype(np.float32),
        "slot": rng.normal(size=(8, 3)).astype(np.float32),
        "step": np.array([41], np.int32),
    }
    unused = {"unused": np.zeros(1, np.int32)}
    return [
        ("train", batch),
        ("train", batch),
        ("save", unused),
        ("restore", state),
        ("train", batch),
        ("save", unused),
    ]


@pytest.mark.parametrize("runtime", runtimes.RUNTIMES)
@pytest.mark.parametrize("change", ["compact", "compact and embed"])
def test_behaves_bit_for_bit_as_before(model, compacted, calls, runtime, change):
    changed = compacted
    if change == "compact and embed":
        changed = flatbuffer.embed(compacted, MANIFEST)
    run = runtimes.RUNTIMES[runtime]
    for expected, got in zip(run(model, calls), run(changed, calls), strict=True):
        assert expected.keys() == got.keys()
        for name in expected:
            np.testing.assert_array_equal(expected[name], got[name], err_msg=name)
    assert run(changed, calls)[4]["step"] == [42], "restore was seen by train"


def test_compact_takes_more_than_half_of_the_graph(model, compacted):
    before, after = flatbuffer.sizes(model), flatbuffer.sizes(compacted)
    # Measured: .44 on this model, .38 - .41 on whole ResNet training steps.
    assert after["graph"] < 0.5 * before["graph"]
    assert after["state"] == before["state"]
    assert after["constants"] <= before["constants"]


def test_compact_is_stable_and_embedding_is_undone(compacted):
    assert compact(compacted) == compacted
    labelled = flatbuffer.embed(compacted, MANIFEST)
    tree = flatbuffer.read(labelled)
    tree.metadata.pop()
    tree.buffers.pop()
    assert flatbuffer.write(tree) == compacted, "the artifact's id can be recomputed"


def test_parts_add_up(model):
    sizes = flatbuffer.sizes(model)
    parts = sum(size for part, size in sizes.items() if part != "total")
    assert parts == sizes["total"] == len(model)
    kernel, slot, step = 8 * 3 * 4, 8 * 3 * 4, 4
    assert sizes["state"] == kernel + slot + step


def test_manifest_is_compressed_when_that_is_smaller(compacted):
    assert embedded.place(compacted) is None
    long = flatbuffer.embed(compacted, MANIFEST)
    short = flatbuffer.embed(compacted, '{"a":1}')
    assert text(long) == MANIFEST
    assert text(short) == '{"a":1}'
    assert flatbuffer.sizes(long)["metadata"] < len(MANIFEST.encode())
    assert b'{"a":1}' in short


def text(model: bytes) -> str:
    where = embedded.place(model)
    assert embedded.is_sealed(model, where)
    return embedded.text(model[where][: -embedded.SEAL_BYTES]).decode()


def test_embedding_again_replaces(compacted):
    twice = flatbuffer.embed(flatbuffer.embed(compacted, '{"a":1}'), '{"b":2}')
    assert twice == flatbuffer.embed(compacted, '{"b":2}')


def test_data_stays_aligned_to_16_bytes(compacted):
    root = schema.Model.GetRootAs(compacted, 0)
    for index in range(root.BuffersLength()):
        buffer = root.Buffers(index)
        if buffer.DataLength():
            data = flatbuffers.number_types.UOffsetTFlags.py_type(
                buffer._tab.Vector(buffer._tab.Offset(4))
            )
            assert data % 16 == 0


def test_empty_constants_are_not_taken_for_activations():
    def step(x):
        return {"y": tf.reshape(tf.reduce_sum(x), []) + tf.zeros([1])}

    spec = tf.TensorSpec([2, 3], tf.float32, name="x")
    model = tiny_trainer.convert_one(step, spec)
    calls = [("train", {"x": np.ones((2, 3), np.float32)})]
    got = runtimes.interpreter(compact(model), calls)
    np.testing.assert_array_equal(got[0]["y"], [6.0])


def test_equal_constants_are_stored_once(compacted):
    data = [
        bytes(buffer.data)
        for buffer in flatbuffer.read(compacted).buffers
        if buffer.data is not None
    ]
    assert len(data) == len(set(data))


def test_finds_signatures_and_the_subgraphs_they_call(model):
    tree = flatbuffer.read(model)
    found = flatbuffer.signatures(tree)
    assert set(found["train"].inputs) == {"x", "y"}
    assert set(found["save"].outputs) == {"kernel", "slot", "step"}
    # itself, the CALL_ONCE body, and the two branches of the IF
    assert len(flatbuffer.reachable(tree, found["train"].subgraph)) == 4
    assert len(flatbuffer.reachable(tree, found["save"].subgraph)) == 2


def test_shared_tables_keep_fields_of_equal_value_apart():
    """stride_w = 2 and stride_h = 2 are two different tables."""
    builder = SharingBuilder()
    tall = schema.Pool2DOptionsT(strideH=2, strideW=1).Pack(builder)
    wide = schema.Pool2DOptionsT(strideH=1, strideW=2).Pack(builder)
    again = schema.Pool2DOptionsT(strideH=2, strideW=1).Pack(builder)
    assert tall == again
    assert tall != wide


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip file"])
def test_other_files_are_refused(content):
    with pytest.raises(ArtifactError, match=r"not a \.tflite model"):
        flatbuffer.read(content)


@pytest.mark.parametrize("kept", [12, 1000, 4000])
def test_cut_model_is_refused(model, kept):
    with pytest.raises(ArtifactError, match="cut or altered"):
        flatbuffer.read(model[:kept])


def outside(model: bytes) -> bytes:
    """Returns the model with the data of its buffers behind the tables."""
    tree = flatbuffer.read(model)
    data = [buffer.data for buffer in tree.buffers]

    def packed(begin: int) -> bytes:
        at = begin
        for buffer, content in zip(tree.buffers, data, strict=True):
            if content is not None and len(content):
                buffer.data, buffer.offset, buffer.size = None, at, len(content)
                at += len(content)
        builder = flatbuffers.Builder()
        builder.Finish(tree.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    # Offsets are fields of a fixed size: only 0, the default, would be left out.
    tables = packed(2)
    kept = [bytes(content) for content in data if content is not None]
    return packed(len(tables)) + b"".join(kept)


def test_buffers_outside_of_the_tables_are_read(model):
    file = outside(model)
    found, expected = flatbuffer.read(file), flatbuffer.read(model)
    for one, other in zip(found.buffers, expected.buffers, strict=True):
        assert (one.data is None) == (other.data is None)
        assert one.data is None or bytes(one.data) == bytes(other.data)
    assert flatbuffer.write(found) == flatbuffer.write(expected)
    with pytest.raises(ArtifactError, match="is cut: a buffer lies at"):
        flatbuffer.read(file[:-1])
