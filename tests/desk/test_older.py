"""Older LiteRTs agree with this one, for every method and recipe.

Their environments are set up by `make test-runtimes`, which runs every case on each;
`make test` runs a few on those that are there, and says so where none is.
"""

from __future__ import annotations

import os

import pytest

from tests import conftest, nets
from tflite_odl.desk import older, proving
from tflite_odl.desk.places import Place
from tflite_odl.errors import DeviceError, ExportError
from tflite_odl.exporter.export import Exported
from tflite_odl.host import goldens
from tflite_odl.host.artifact import Artifact

HOMES = {v: older.usual_home(v, conftest.USER_CACHE) for v in older.KNOWN}
EVERY_CASE = os.environ.get("TFLITE_ODL_RUNTIMES") == "all"
QUICK = ("finetune-strides", "finetune-int8-serve")
CASES = tuple(nets.CASES) if EVERY_CASE else QUICK


# The first LiteRT that has int2 in FULLY_CONNECTED.
NEEDS = {"skip-int2_dense": "2.1.6"}
# int8 kernels of 1.0.1 round some entries to the step beside, which moves a gradient.
ONE_STEP = 1e-3


def place(version: str) -> Place:
    if not EVERY_CASE and not HOMES[version].is_dir():
        pytest.skip(f"no LiteRT {version} here: `make test-runtimes` sets it up")
    return older.ready(version, HOMES[version])


@pytest.mark.parametrize("version", older.KNOWN)
@pytest.mark.parametrize("artifact", CASES)
def test_goldens_hold_on_an_older_runtime(build, artifact, version):
    if version in older.KNOWN[: older.KNOWN.index(NEEDS.get(artifact, version))]:
        with pytest.raises(DeviceError, match="Unsupported data type"):
            place(version).prove(build(artifact))
        return
    results = place(version).prove(build(artifact))
    limit = ONE_STEP if version == "1.0.1" and artifact.endswith("-int8") else 0.0
    assert results and [r for r in results if not r.passed and r.error > limit] == []


def test_a_twin_that_answers_otherwise_is_found(build, monkeypatch):
    artifact = Artifact.open(build("finetune-sgd"))
    good = [r for r in proving.prove(artifact, "interpreter", 1) if r.call == 0]
    assert {r.signature for r in good} == {"infer", proving.TWIN}
    assert all(r.passed for r in good)
    shipped = proving.bake.shipped(artifact)
    weight = artifact.manifest.serving["weights"][-1]["offset"]
    altered = shipped[:weight] + b"\x00\x00\x00\x41" + shipped[weight + 4 :]
    monkeypatch.setattr(proving.bake, "shipped", lambda artifact: altered)
    found = proving.prove(artifact, "interpreter", 1)
    assert {r.signature for r in found if not r.passed} == {proving.TWIN}


def test_what_a_twin_may_be_off_is_its_distance_to_infer_alone():
    steps = {"steps_of_a_layer": 1.0, "most_from_infer": 0.01, "mean_from_infer": 0.5}
    found = dict(proving._figures({"shipped": steps}))
    assert found == {"/shipped/most_from_infer": 0.01}
    plain = {"interpreter": {"shipped": 1e-7, "moved": 2e-7}}
    assert max(dict(proving._figures(plain)).values()) == 2e-7


class Elsewhere:
    """A LiteRT whose answers the test chooses."""

    def __init__(self, **result) -> None:
        self._result = goldens.Result(3, "train", "loss", reason="", **result)

    def prove(self, artifact):
        promise = Artifact.open(artifact).manifest.versions["oldest_runtime"]
        assert promise != "1.0.1", "not proven yet"
        return [self._result]


@pytest.fixture(scope="module")
def exported() -> Exported:
    return nets.export_case("finetune-mlp")


def test_what_holds_there_is_promised(exported):
    elsewhere = Elsewhere(error=1e-8, passed=True)
    found = older.promised(exported, elsewhere, "1.0.1").manifest
    assert found.versions["oldest_runtime"] == "1.0.1"
    known = {"version": "1.0.1", "outputs": 1, "largest_error": 1e-8}
    assert found.proofs["oldest_runtime"] == known


def test_what_does_not_hold_there_is_refused(exported):
    elsewhere = Elsewhere(error=0.2, passed=False)
    with pytest.raises(
        ExportError, match="1.0.1 computes .* call 3, train.loss is 0.2"
    ):
        older.promised(exported, elsewhere, "1.0.1")


def test_a_version_that_is_none_is_named():
    with pytest.raises(DeviceError, match="'new': needs a LiteRT version such as"):
        older.ready("new")
