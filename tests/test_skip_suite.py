"""The skip suite's rules: what is run again, what it counts and quotes."""

from __future__ import annotations

import json
import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tools"))
import processes

from tests.nets import BATCH, CLASSES
from tflite_odl import streams
from tflite_odl.host.session import Session
from tools.skip import cases, figures, page, probing, sources, suite, training

SIZES = ("0", "8", "16", "32")
SHARES = {"0": 0.3, "8": 0.5, "16": 0.75, "32": 1.1}
PLAIN_MS = 40.0


def measured(script: str, names: tuple[str, ...]) -> dict:
    """What timing finds where the plain step's second round is twice as slow."""
    if script == "memory":
        return {"memory_mb": 20.0 if names[0] == "full" else 25.0}
    # Paired, the median of the ratios is the share; that of medians is twice as much.
    found = {"full": {"32": [PLAIN_MS, 2 * PLAIN_MS, PLAIN_MS]}}
    for name in names[3:]:
        slow = (1.0, 2.0, 3.0)
        found[name] = {n: [PLAIN_MS * s * k for k in slow] for n, s in SHARES.items()}
    return found


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Returns (the library's state, jobs that ran, a function that runs digits)."""
    library, jobs = ["first"], []

    def measure(command, most_seconds=0):
        script = command[2].rpartition(".")[2]
        if script != "training":
            return measured(script, command[4:])
        job = json.loads(command[3])
        jobs.append(job)
        if job["variant"] == "fixed 0.9":
            raise processes.Failed("exit -9: no message")
        skipped = job["settings"].get(
            "error_bound", job["settings"].get("skip_rate", 0)
        )
        return {
            "curve": [],
            "steps": 10,
            "seconds": job["budget"],
            "skipped": skipped + 0.01 * job["seed"],
            "accuracy": 0.9 - skipped - 0.1 * job["seed"],
        }

    monkeypatch.setattr(processes, "measure", measure)
    monkeypatch.setattr(processes, "fingerprint", lambda: library[0])
    monkeypatch.setattr(sources, "prepare", lambda *given: None)

    def run(**options):
        jobs.clear()
        plan = suite.Plan(("digits",), seeds=2, **options)
        return suite.Study(tmp_path, plan, lambda text: None).run()

    return library, jobs, run


def test_a_run_is_made_once_for_a_library(study):
    library, jobs, run = study
    count = 2 * len(cases.CASES["digits"].variants)
    first = run()
    assert len(jobs) == count and len(first["records"]) == count - 2
    assert run() == first and {job["variant"] for job in jobs} == {"fixed 0.9"}
    library[0] = "second"
    run(keep=True)
    assert len(jobs) == 2
    run()
    assert len(jobs) == count


def test_random_skips_at_the_rate_of_its_seed(study):
    _, jobs, run = study
    run()
    rates = {j["seed"]: j["settings"] for j in jobs if j["variant"] == "random"}
    assert rates == {0: {"skip_rate": 0.05}, 1: {"skip_rate": pytest.approx(0.06)}}


def test_seconds_are_those_of_the_plain_step(study):
    _, jobs, run = study
    steps = run()["records"][0]["full_steps"]
    assert all(job["budget"] == pytest.approx(steps * PLAIN_MS / 1e3) for job in jobs)


def test_shares_are_of_the_same_round_and_accuracies_of_the_same_seed(study):
    found = study[2]() | {"machine": "a desk", "versions": ["numpy==2"]}
    text = page.page(found, "the command")
    assert "| 1 | threshold | 0.30 | 0.50 | 0.75 | 1.10 | 1.25 |" in text
    assert "| threshold 0.1 | 75.00 % | -10.00 ± 0.00 | 10.5 % |" in text
    assert "- digits, fixed 0.9, seed 0: exit -9: no message" in text


def test_packing_a_quarter_saves_half_at_most():
    assert figures.ceiling(0.7583) == pytest.approx(2.02, abs=0.005)


def data(rows: int = 4 * BATCH) -> streams.Split:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(rows, 6, 6, 2)).astype(np.float32)
    return streams.Split(x, rng.integers(0, CLASSES, rows).astype(np.int32))


@pytest.mark.parametrize(("cut", "expected"), [(20, 0.0), (0, 1.0)])
def test_measured_error_is_of_what_the_threshold_skips(build, cut, expected):
    with Session(build("skip-shared")) as session:
        state = session.state(include_buffers=True)
        state["threshold_interval"] = np.array([cut], np.int32)
        session.load_state(state)
        assert probing.measured_rse(session, data()) == pytest.approx(expected)
        after = session.state(include_buffers=True)
        assert all(state[n].tobytes() == after[n].tobytes() for n in state)


def test_a_run_counts_rows_and_seconds_by_bucket(build, monkeypatch):
    dataset = streams.Dataset("tiny", tuple("abc"), data(60), data(), 1.0, 0.0)
    monkeypatch.setattr(streams, "open", lambda spec: dataset)
    case = cases.Case("tiny", "tiny", "", 1, 0.05, batch=BATCH)
    bounded = cases.UNIFORM[-1]
    job = {"seed": 0, "ms": {"0": 1, "2": 2, "3": 3, "6": 10}, "budget": 0.2}
    with Session(build("skip-shared")) as session:
        session.configure(error_bound=0.5, update_period=4)
        found = training.Run(session, case, bounded, job).train()
        total = int(session.state()["skipped_total"][0])
    assert found["kept"] == found["steps"] * BATCH - total and total > 0
    spent = sum(job["ms"][str(n)] * k for n, k in found["bucket_steps"].items())
    assert spent == pytest.approx(1e3 * found["seconds"])
    assert 0.2 <= found["seconds"] < 0.2 + 0.01
    assert len(found["curve"]) == training.CHECKPOINTS
