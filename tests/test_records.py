"""What a suite publishes: data that can be read again, a page also without plots."""

import json
import pathlib
import sys
import types

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tools"))
import processes
import records

RESULTS = {"machine": "a desk", "records": [{"ms": 1.5}, {"ms": float("inf")}]}


def page(results: dict, command: str, plots=("none",)) -> str:
    return f"{results['machine']}, {command}, {plots[0]}"


@pytest.fixture
def request_(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "python", lambda *about: sys.executable)
    about = {"quick": False, "work": tmp_path, "out": tmp_path / "out", "said": []}
    about["say"] = about["said"].append
    return types.SimpleNamespace(command="a command", **about)


@pytest.mark.parametrize(
    ("script", "plots"),
    [
        ("print('a note'); print('[\"a.png\"]')", "a.png"),
        ("raise OSError('no display')", "none"),
        ("print('a note')", "none"),
    ],
)
def test_publish(request_, tmp_path, script, plots):
    path = tmp_path / "plots.py"
    path.write_text(script)
    text = records.publish(request_, RESULTS, page, path)
    assert text == f"a desk, a command, {plots}"
    assert (request_.out / "README.md").read_text() == text
    assert json.loads((request_.out / "records.json").read_text()) == RESULTS
    assert bool(request_.said) == (plots == "none")


def test_a_quick_look_writes_nothing(request_):
    request_.quick = True
    assert records.publish(request_, RESULTS, page) == "a desk, a command, none"
    assert not request_.out.exists()
