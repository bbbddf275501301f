"""No damaged bare file runs, and none brings the process down."""

from __future__ import annotations

import numpy as np
import pytest

from tests.host import toy
from tflite_odl import contract
from tflite_odl.errors import ArtifactError
from tflite_odl.exporter import flatbuffer
from tflite_odl.host import embedded, interface
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.host.tables import Tables

REGIONS = 12


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    folder = toy.write(tmp_path_factory.mktemp("whole") / "artifact")
    return (folder / contract.MODEL_FILE).read_bytes()


def mutations(whole: bytes, kind: str):
    """Yields damaged copies, equally many in every region of the file."""
    rng = np.random.default_rng(sum(kind.encode()))
    size = len(whole) / REGIONS
    for number in range(120):
        place = int((number % REGIONS + rng.random()) * size)
        damaged = bytearray(whole)
        if kind == "bit":
            damaged[place] ^= 1 << rng.integers(8)
        elif kind == "cut":
            del damaged[place:]
        elif kind == "zeros":
            length = int(rng.integers(1, 200))
            damaged[place : place + length] = bytes(
                len(damaged[place : place + length])
            )
        elif kind == "longer":
            damaged[place:place] = rng.bytes(int(rng.integers(1, 9)))
        if damaged != whole:
            yield bytes(damaged)


@pytest.mark.parametrize("kind", ["bit", "cut", "zeros", "longer"])
def test_every_damaged_file_is_refused_before_a_runtime_sees_it(whole, tmp_path, kind):
    path, tried = tmp_path / "damaged.tflite", 0
    for damaged in mutations(whole, kind):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"damaged\.tflite"):
            Artifact.open(path)
        tried += 1
    # Some of the ranges were zero before.
    assert tried > 100


def test_the_reader_of_signatures_stands_any_damage(whole):
    expected, refused, differing = interface.signatures(whole), 0, 0
    for kind in ("bit", "cut", "zeros", "longer"):
        for damaged in mutations(whole, kind):
            try:
                differing += interface.signatures(damaged) != expected
            except ArtifactError:
                refused += 1
    assert refused > 50 and differing > 0


def test_every_byte_of_the_seal_and_the_manifest_counts(whole, tmp_path):
    where = embedded.place(whole)
    for at in (
        *range(where.start, where.stop, 37),
        *range(where.stop - 32, where.stop),
    ):
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        with pytest.raises(ArtifactError, match="sha256 does not fit"):
            embedded.manifest(bytes(damaged))


def test_offsets_beyond_the_file_are_refused():
    tables = Tables(bytes([4, 0, 0, 0, 8, 0, 0, 0]))
    for read in (
        lambda: tables.number(6, 4),
        lambda: tables.number(-1, 1),
        lambda: tables.follow(4),
        lambda: tables.field(4, 0),
    ):
        with pytest.raises(ArtifactError, match="bytes are needed at"):
            read()


def changed_tensor(model: bytes, signature: str, name: str, **changes) -> bytes:
    tree = flatbuffer.read(model)
    entry = flatbuffer.signatures(tree)[signature]
    index = {**entry.inputs, **entry.outputs}[name]
    tensor = tree.subgraphs[entry.subgraph].tensors[index]
    for field, value in changes.items():
        setattr(tensor, field, value)
    return flatbuffer.write(tree)


@pytest.mark.parametrize("kind", RUNTIMES.values(), ids=RUNTIMES)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ("infer", "x", {"shape": np.int32([3, 4])}),
            r"input of 'infer', tensor 'x': the manifest has \[3, 3\] float32, "
            r"the model \[3, 4\] float32",
        ),
        (
            ("train", "loss", {"type": 2}),
            r"output of 'train', tensor 'loss': the manifest has \[1\] float32, "
            r"the model \[1\] int32",
        ),
        (("remember", "photo", {"type": 5}), r"'photo'.*the model \[5\] type 5"),
    ],
)
def test_a_model_that_is_not_the_manifests_is_refused(kind, changes, message):
    *place, fields = changes
    model = changed_tensor(toy.model(), *place, **fields)
    with pytest.raises(ArtifactError, match=message):
        kind(model, toy.manifest())


def test_signatures_that_only_one_of_both_has_are_named():
    tree = flatbuffer.read(toy.model())
    tree.signatureDefs = tree.signatureDefs[1:]
    with pytest.raises(ArtifactError, match="the manifest has signatures"):
        interface.check(flatbuffer.write(tree), toy.manifest())
