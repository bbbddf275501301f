"""Golden calls pass on a right runtime and fail for each way of being wrong."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.host import toy
from tflite_odl.errors import ArtifactError, ContractError
from tflite_odl.exporter.artifact import Call, Expected, Goldens
from tflite_odl.host import goldens
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import RUNTIMES, InterpreterRuntime

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
INPUTS = {"x": X, "y": np.int32([0, 1, 0, 1]), "count": np.int32([4])}


def calls(**changed: Expected) -> Goldens:
    """Two training steps as they are, the outputs of the second changed."""
    manifest = toy.manifest()
    with InterpreterRuntime(toy.model(), manifest) as runtime:
        outputs = [runtime.run("train", INPUTS) for _ in range(2)]
    expected = [
        {n: Expected(v, 1e-5, 1e-6, "sums") for n, v in o.items()} for o in outputs
    ]
    expected[1].update(changed)
    return Goldens(tuple(Call("train", INPUTS, e) for e in expected))


def check(folder, golden: Goldens) -> list[goldens.Result]:
    artifact = Artifact.open(toy.write(folder / "artifact", golden))
    with InterpreterRuntime(artifact.model, artifact.manifest) as runtime:
        return goldens.check(runtime, artifact)


@pytest.mark.parametrize("kind", RUNTIMES.values(), ids=RUNTIMES)
def test_calls_are_made_in_order_on_one_state(tmp_path, kind):
    artifact = Artifact.open(toy.write(tmp_path / "artifact", calls()))
    with kind(artifact.model, artifact.manifest) as runtime:
        results = goldens.check(runtime, artifact)
        assert [(r.call, r.output) for r in results] == [
            (number, name) for number in (0, 1) for name in ("loss", "step")
        ]
        assert all(r.passed for r in results)
        # Not a fresh runtime any more: the steps are counted on.
        again = goldens.check(runtime, artifact)
        assert not [r for r in again if r.output == "step" and r.passed]


@pytest.mark.parametrize(
    ("output", "value"),
    [
        ("loss", np.float32([9])),
        ("loss", np.float32([np.nan])),
        ("loss", np.float32([np.inf])),
        ("loss", np.float32([0.5, 0.5])),
        ("step", np.int32([3])),
        ("step", np.float32([2])),
    ],
)
def test_another_value_dtype_or_shape_fails_that_output_alone(tmp_path, output, value):
    changed = Expected(value, 1e-5, 1e-6, "sums")
    results = check(tmp_path, calls(**{output: changed}))
    assert [(r.call, r.output) for r in results if not r.passed] == [(1, output)]


def test_unfitting_inputs_do_not_reach_the_runtime(tmp_path):
    first = calls().calls[0]
    wrong = dataclasses.replace(first, inputs={**INPUTS, "x": X[:2]})
    with pytest.raises(ContractError, match="needs x"):
        check(tmp_path, Goldens((wrong,)))


def test_missing_and_cut_files_are_named(tmp_path):
    bare = Artifact.open(toy.write(tmp_path / "none"))
    artifact = Artifact.open(toy.write(tmp_path / "artifact", calls()))
    file = next((artifact.path / "goldens").glob("*_in_x.bin"))
    with InterpreterRuntime(artifact.model, artifact.manifest) as runtime:
        with pytest.raises(ArtifactError, match="cannot read .*index.json: No"):
            goldens.check(runtime, bare)
        file.write_bytes(file.read_bytes()[:-4])
        with pytest.raises(ArtifactError, match=f"{file.name} is cut: 44 bytes"):
            goldens.check(runtime, artifact)
        file.unlink()
        with pytest.raises(ArtifactError, match=f"cannot read .*{file.name}"):
            goldens.check(runtime, artifact)
