"""ARM64 agrees with this machine, for every method and recipe, and counts repeat.

The emulated processor is set up by `make test-arm`, which also runs every case; where
it is not there, `make test` says so.
"""

from __future__ import annotations

import functools
import os
import shutil

import pytest

from tests import conftest, nets
from tflite_odl.desk import parity, places, replay
from tflite_odl.desk.arm import counting, environment
from tflite_odl.errors import DeviceError
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import InterpreterRuntime

HOME = environment.usual_home(conftest.USER_CACHE)
EVERY_CASE = os.environ.get("TFLITE_ODL_ARM") == "all"
QUICK = ("finetune-sgd", "skip-defaults", "finetune-int8")
STEPS = 20 if EVERY_CASE else 5

needs_arm = pytest.mark.skipif(
    not HOME.is_dir(), reason="no emulated ARM64 here: `make test-arm` sets it up"
)


@functools.cache
def emulator(core: str = "a76") -> environment.Emulator:
    return environment.ready(core, HOME)


@needs_arm
@pytest.mark.parametrize("artifact", nets.CASES if EVERY_CASE else QUICK)
def test_every_step_agrees_from_equal_states(build, artifact):
    opened = Artifact.open(build(artifact))
    place = places.emulated(emulator())
    (row,) = parity.matrix(opened, parity.golden_batches(opened, STEPS), [place])
    assert row.problem == ""
    assert [d for d in row.differences if not d.passed] == []
    assert {"train", "infer", "evaluate"} <= {d.signature for d in row.differences}


@needs_arm
def test_goldens_hold_on_arm64(build):
    results = places.emulated(emulator()).prove(build("finetune-sgd"))
    assert results and [r for r in results if not r.passed] == []


@needs_arm
def test_counts_repeat_and_are_those_of_the_work(build):
    artifact = Artifact.open(build("finetune-mlp"))
    with InterpreterRuntime(artifact.model, artifact.manifest, 1) as runtime:
        inputs = next(parity.golden_batches(artifact, 1))
        calls = [replay.Call("train", inputs, runtime.save())] * 2
    first, second = counting.count(emulator(), artifact.path, calls)
    assert first.instructions > 0 and first.bound <= first.estimate
    # The second call finds an allocator in another state.
    assert second.instructions == pytest.approx(first.instructions, rel=1e-3)
    again = counting.count(emulator(), artifact.path, calls)
    assert again[0].kinds["matrix products"] == first.kinds["matrix products"]


@needs_arm
def test_cores_have_kernels_of_their_own(build):
    artifact = Artifact.open(build("finetune-mlp"))
    with InterpreterRuntime(artifact.model, artifact.manifest, 1) as runtime:
        call = replay.Call(
            "train", next(parity.golden_batches(artifact, 1)), runtime.save()
        )
    little, big = (
        counting.count(emulator(core), artifact.path, [call])[0]
        for core in ("a55", "x4")
    )
    assert little.kinds["matrix products"] != big.kinds["matrix products"]
    assert little.bound > big.bound


def test_an_unknown_core_is_named(tmp_path):
    with pytest.raises(DeviceError, match="no core 'm1', there are a55, a76"):
        environment.ready("m1", tmp_path)


def test_another_machine_or_a_missing_tool_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    with pytest.raises(DeviceError, match="needs apt-get, dpkg-deb, cc"):
        environment.ready(home=tmp_path / "none")
    monkeypatch.setattr(environment.platform, "machine", lambda: "riscv64")
    with pytest.raises(DeviceError, match="x86_64 machines only, this is riscv64"):
        environment.ready(home=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_set_up_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(home):
        (home / "host").mkdir()
        raise DeviceError("apt-get update failed: no network")

    monkeypatch.setattr(environment, "_check_host", lambda: None)
    monkeypatch.setattr(environment, "_make", fail)
    with pytest.raises(DeviceError, match="no network"):
        environment.ready(home=tmp_path / "cache" / "home")
    assert list((tmp_path / "cache").iterdir()) == []
