"""The vectors of conformance/, which hosts in every language must meet."""

from __future__ import annotations

import hashlib
import json
import math
import pathlib

import numpy as np
import pytest

from tflite_odl.contract import Manifest, Signature, TensorSpec
from tflite_odl.contract.digest import digest
from tflite_odl.errors import ArtifactError, CheckpointError, ContractError, DataError
from tflite_odl.host import (
    bake,
    checkpoint,
    embedded,
    journal,
    labels,
    paths,
    records,
    rows,
    totals,
)
from tflite_odl.streams import packed

FOLDER = pathlib.Path(__file__).parents[2] / "conformance"
FILES = FOLDER / "files"
UNUSED = TensorSpec("unused", "float32", (1,))


def load(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def cases(name: str):
    found = load(name)["cases"]
    return pytest.mark.parametrize("case", found, ids=[case["name"] for case in found])


def tensor(about: dict) -> np.ndarray:
    data = [float(v) if isinstance(v, str) else v for v in about["data"]]
    return np.array(data, about["dtype"]).reshape(about["shape"])


def spec(about: dict) -> TensorSpec:
    fill = about.get("fill")
    return TensorSpec(**{**about, "fill": float(fill) if fill == "NaN" else fill})


def same(found: dict, expected: dict) -> None:
    assert set(found) == set(expected)
    for name, about in expected.items():
        value = tensor(about)
        assert found[name].dtype == value.dtype and found[name].shape == value.shape
        np.testing.assert_array_equal(found[name], value)


@cases("batches")
def test_batches(case):
    inputs = tuple(map(spec, load("batches")["inputs"]))
    signature = Signature("train", inputs, ())
    given = {name: tensor(about) for name, about in case["given"].items()}
    if case.get("refused"):
        with pytest.raises(ContractError):
            signature.check_inputs(rows.padded(signature, given))
        return
    same(signature.check_inputs(rows.padded(signature, given)), case["batch"])


@cases("labels")
def test_labels(case):
    wanted, given = spec(case["spec"]), tensor(case["given"])
    signature = Signature("train", (wanted,), ())
    found = {wanted.name: labels.cast(wanted, given)}
    if case.get("refused"):
        with pytest.raises(ContractError):
            signature.check_inputs(found)
        return
    same(signature.check_inputs(found), {wanted.name: case["cast"]})


@cases("totals")
def test_totals(case):
    outputs = tuple(map(spec, load("totals")["outputs"]))
    signature = Signature("evaluate", (UNUSED,), outputs)
    calls = [
        {one.name: tensor({**_about(one), "data": call[one.name]}) for one in outputs}
        for call in case["calls"]
    ]
    found = totals.total(signature, calls)
    assert {n: np.asarray(v).tolist() for n, v in found.items()} == case["totals"]


def _about(one: TensorSpec) -> dict:
    return {"dtype": one.dtype, "shape": list(one.shape)}


@cases("configure")
def test_configure(case):
    refused = case.get("refused", False)
    assert spec(case["spec"]).allows(float(case["value"])) != refused


@cases("digest")
def test_digest(case):
    assert hashlib.sha256(bytes.fromhex(case["bytes"])).hexdigest() == case["sha256"]
    arrays = {name: tensor(about) for name, about in case["tensors"].items()}
    facts = {**case["facts"], "sha256": "is left out"}
    assert digest(facts, arrays) == case["sha256"]


@cases("checkpoints")
def test_checkpoints(case):
    vectors = load("checkpoints")
    state = tuple(map(spec, vectors["state"]))
    manifest = Manifest(vectors["artifact_id"], {}, {}, state)
    if case.get("refused"):
        with pytest.raises(CheckpointError):
            checkpoint.load(FILES / case["file"], manifest)
        return
    found = checkpoint.load(FILES / case["file"], manifest)
    assert str(found.step) == case["facts"]["step"]
    assert str(found.position) == case["facts"]["position"]
    same(found.state, case["tensors"])


@cases("streams")
def test_streams(case):
    if case.get("refused"):
        with pytest.raises(DataError):
            packed.read(FILES / case["file"])
        return
    arrays, about = packed.read(FILES / case["file"])
    assert about == case["facts"]
    same(arrays, case["tensors"])


@cases("manifests")
def test_manifests(case):
    model = (FILES / case["file"]).read_bytes()
    if case.get("refused"):
        with pytest.raises(ArtifactError):
            embedded.manifest(model)
        return
    where = embedded.place(model)
    if case["start"] is None:
        assert where is None
        return
    assert (where.start, where.stop - where.start) == (case["start"], case["length"])
    assert embedded.is_sealed(model, where)
    assert embedded.seal(model, where).hex() == case["seal"]
    content = model[where][: -embedded.SEAL_BYTES]
    assert embedded.text(content).decode() == case["text"]


@cases("bake")
def test_bake(case):
    vectors = load("bake")
    state = {name: tensor(about) for name, about in vectors["state"].items()}
    before = (FILES / vectors["before"]).read_bytes()
    if case.get("refused"):
        with pytest.raises((ArtifactError, CheckpointError)):
            bake.patched(before, bake.Twin.from_json(case["serving"]), state)
        return
    twin = bake.Twin.from_json(case["serving"])
    after = (FILES / case["after"]).read_bytes()
    assert bake.patched(before, twin, state) == after != before
    again = bake.Twin.from_json(json.loads(json.dumps(twin.to_json())))
    assert again == twin


@cases("sums")
def test_sums(case):
    shape, axes = tuple(case["shape"]), case["axes"]
    places = np.arange(math.prod(shape)) * 7919 % 2003 - 1001
    values = (places.astype(np.float32) / np.float32(997)).reshape(shape)
    own = {axis % len(shape) for axis in axes}
    summed = tuple(axis for axis in range(len(shape)) if axis not in own)
    found = values.sum(summed, keepdims=True).ravel()
    np.testing.assert_array_equal(found, np.float32(case["sums"]))


@cases("paths")
def test_paths(case, tmp_path):
    if case.get("refused"):
        with pytest.raises(ArtifactError):
            paths.inside(tmp_path, case["path"])
        return
    assert paths.inside(tmp_path, case["path"]) == tmp_path / case["path"]


@cases("records")
def test_records(case):
    metrics = {name: tensor(about) for name, about in case["metrics"].items()}
    found = records.record(case["batch"], metrics, case["before"], case["ms"])
    assert json.loads(json.dumps(found)) == json.loads(case["line"])


@cases("lines")
def test_lines(case):
    found = journal.parse(case["line"].encode() + b"\n")
    if case.get("refused"):
        assert found is None
    else:
        assert found == json.loads(case["record"])
        assert journal.line(found).decode() == case["line"] + "\n"
