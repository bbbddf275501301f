"""The parity matrix tells equal from different, and every place is asked for real."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.host import toy
from tflite_odl.desk import parity, places, replay
from tflite_odl.errors import DeviceError
from tflite_odl.host import goldens
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import InterpreterRuntime

COUNT = np.int32([toy.BATCH])


def batches(number: int = 3):
    rng = np.random.default_rng(0)
    for _ in range(number):
        x = rng.normal(size=(toy.BATCH, 3)).astype(np.float32)
        yield {"x": x, "y": np.int32([0, 1, 1, 0]), "count": COUNT}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory) -> Artifact:
    return Artifact.open(toy.write(tmp_path_factory.mktemp("desk") / "toy"))


@dataclasses.dataclass(frozen=True)
class Off(places.Place):
    """A place that changes one tensor of one result."""

    call: int = 0
    part: str = "outputs"
    tensor: str = "loss"
    change: float = 1e-3

    def run(self, artifact, calls, work):
        opened = Artifact.open(artifact)
        with InterpreterRuntime(opened.model, opened.manifest, 1) as runtime:
            results = replay.replay(runtime, calls)
        changed = getattr(results[self.call], self.part)
        changed[self.tensor] = changed[self.tensor] * np.float32(1 + self.change)
        return results


def test_every_runtime_here_agrees(artifact):
    rows = list(parity.matrix(artifact, batches(), places.here()))
    assert [row.place for row in rows if not row.passed] == []
    compared = {(d.signature, d.tensor) for d in rows[0].differences}
    assert {("train", "kernel"), ("train", "loss"), ("infer", "probabilities")} <= (
        compared
    )


@pytest.mark.parametrize("call", [0, 4, 6])
@pytest.mark.parametrize("part", ["outputs", "state"])
def test_one_tensor_that_is_off_in_one_call_is_named(artifact, call, part):
    signature = ["train", "infer", "evaluate"][call % 3]
    outputs = {"train": "loss", "infer": "probabilities", "evaluate": "loss"}
    tensor = outputs[signature] if part == "outputs" else "kernel"
    off = Off("off", call=call, part=part, tensor=tensor)
    (row,) = parity.matrix(artifact, batches(), [off])
    assert not row.passed
    assert (row.worst.signature, row.worst.tensor) == (signature, tensor)
    assert row.worst.call == call
    assert row.worst.error > row.worst.allowed > 0


def test_what_another_order_of_sums_makes_passes(artifact):
    (row,) = parity.matrix(artifact, batches(), [Off("near", change=2e-6)])
    assert row.passed and row.worst.error > 0


def test_a_place_that_dies_has_a_row_with_its_last_words(artifact):
    dead = places.Place("dead", ("python3", "-c", "import sys; sys.exit('no LiteRT')"))
    (row,) = parity.matrix(artifact, batches(), [dead])
    assert not row.passed and "dead: exit 1: no LiteRT" in row.problem


def test_a_step_goes_on_from_the_one_before_where_no_state_is_given(artifact, tmp_path):
    inputs = next(batches())
    calls = [replay.Call("train", inputs), replay.Call("train", inputs)]
    first, second = places.Place("here").run(artifact.path, calls, tmp_path)
    assert (first.state["step"], second.state["step"]) == (1, 2)
    assert not np.array_equal(first.state["kernel"], second.state["kernel"])


def test_goldens_are_repeated_there(build):
    folder = build("finetune-mlp")
    results = places.Place("here").prove(folder)
    assert results and all(isinstance(r, goldens.Result) and r.passed for r in results)


def test_an_artifact_without_goldens_says_so(artifact):
    with pytest.raises(DeviceError, match="cannot read .*index.json"):
        places.Place("here").prove(artifact.path)
