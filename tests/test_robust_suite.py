"""Small versions of the suite robust: kills, damage, forgeries, threads, disks, poison.

What forks runs in a process of its own: a fork of one that has made runtimes may hang.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tflite_odl import methods
from tflite_odl.host.runtimes import RUNTIMES
from tools.robust import damage, kinds, mutations, nets, page, poison, threads

ROOT = pathlib.Path(__file__).parents[1]
SMALL = "finetune-mlp"


def forking(code: str, *arguments: object) -> object:
    """Returns what the last expression of some code is, as JSON has it."""
    script = f"import json, pathlib, sys\n{code}"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=600, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", kinds.NAMES)
def test_damage_is_refused_or_harmless(build, tmp_path, kind):
    seeds = range(4 * len(damage.KINDS))
    found = mutations.outcomes(kind, build(SMALL), tmp_path / "file", seeds)
    assert set(found) <= set(mutations.GOOD)
    assert len(set(found) & {"refused", "equal", "in part"}) >= 1


def test_damage_changes_the_file_in_every_way():
    content = bytes(range(256)) * 40
    found = [damage.damaged(content, seed) for seed in range(80)]
    assert sum(one != content for one in found) > 70
    assert len({len(one) for one in found}) > 20
    assert damage.damaged(content, 3) == damage.damaged(content, 3)


def test_a_file_that_is_read_wrongly_is_told(tmp_path, monkeypatch):
    """The study finds what it looks for: other numbers, and tracebacks."""

    def careless(artifact, work):
        file = work / "text"
        file.write_text("A text that nothing vouches for. " * 40)
        return kinds.Kind(file, lambda: file.read_bytes().decode())

    monkeypatch.setitem(kinds.NAMES, "careless", careless)
    found = mutations.outcomes("careless", tmp_path, tmp_path / "file", range(80))
    assert {one.partition(":")[0] for one in found} == {"other numbers", "traceback"}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_threads_replay(build, runtime):
    found = threads.tried(build(SMALL), runtime, 100)
    assert found["wrong_rows"] == found["differ"] == 0 and found["same_state"]
    assert found["train"] > 100 and found["infer"] > 100


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_poison_is_rejected_or_forgotten(build, runtime):
    # Its gradient is clipped: without, one row of a million ruins a net without norms.
    found = poison.tried(build("skip-keep-skipped"), runtime, 60)
    assert not found["bad"] and found["poisons"] == 17
    assert any(rejected for _, rejected, _ in found["of"])


def test_killed_runs_come_to_what_others_come_to(build, tmp_path):
    (found, other) = forking(
        "from tools.robust import kills\n"
        "paths = {'a': pathlib.Path(sys.argv[1])}\n"
        "print(json.dumps(kills.study(paths, pathlib.Path(sys.argv[2]), 6)))",
        build(SMALL),
        tmp_path,
    )
    for one in (found, other):
        assert one["kills"] >= 3 and not one["differ"], one


@pytest.mark.skipif(os.name != "posix", reason="limits of files, mounts")
def test_full_disks_refuse_and_lose_nothing(build, tmp_path):
    for one in forking(
        "from tools.robust import disk\n"
        "print(json.dumps(disk.study(*map(pathlib.Path, sys.argv[1:]), 5)))",
        build(SMALL),
        tmp_path,
    ):
        assert not one["bad"] and one["refused"] and one["whole"], one


def test_forged_states_and_manifests_do_no_harm(build, tmp_path):
    for study in ("states", "manifests"):
        found = forking(
            "from tools.robust import forged\n"
            "study = getattr(forged, sys.argv[3])\n"
            "print(json.dumps(study(*map(pathlib.Path, sys.argv[1:3]), 30)))",
            build("skip-shared"),
            tmp_path,
            study,
        )
        assert not found["bad"] and found["refused"], found


def test_a_child_that_crashes_hangs_or_raises_is_told():
    found = forking(
        "import os, time\n"
        "from tools.robust import children\n"
        "ways = (os.abort, lambda: time.sleep(60), lambda: 1 / 0, lambda: 5)\n"
        "print(json.dumps([children.run(way, 2) for way in ways]))"
    )
    assert found == [
        ["crash", 6],
        ["hang", None],
        ["traceback", "ZeroDivisionError: division by zero"],
        ["done", 5],
    ]


def test_every_method_is_studied():
    assert {method for method, _, _ in nets.CASES.values()} == set(methods.REGISTERED)


def test_the_page_shows_what_must_not_happen():
    found = {"kind": "manifest", "files": 2, "crash": 1, "bad": [[7, "crash: 11"]]}
    results = {
        "machine": "m",
        "versions": ["v"],
        "records": [{"study": "mutations", "part": "manifest", "of": found}],
    }
    text = page.page(results, "command")
    assert "| manifest | 2 | 1 |" in text and "crash: 11" in text
