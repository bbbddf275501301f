"""The contrastive suite's rules: what is run again, what it counts and quotes."""

from __future__ import annotations

import json
import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tools"))
import processes

from tests.methods.contrastive.test_method import images
from tflite_odl.builtin import random
from tflite_odl.host.session import Session
from tools.contrastive import bars, cases, figures, page, suite
from tools.contrastive.uses import Counter, uniform

ARMS = (cases.OURS, cases.NONE, cases.FIFO)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Returns (the library's state, jobs that ran, a function that runs phone)."""
    library, jobs = ["first"], []

    def measure(command, most_seconds=0):
        script = command[2].rpartition(".")[2]
        if script == "sources":
            folder, _, arm = command[3:6]
            one = next(a for a in cases.ALL if a.name == arm)
            (folder / one.artifact).mkdir(parents=True)
            for name in (f"{one.artifact}.json", "weights-0.npz", "weights-1.npz"):
                (folder / name).touch()
            return {}
        if script == "timing":
            about = {"bytes": 9e5, "buffer_bytes": 8e4, "partitions": [700, 20]}
            return {name: {"ms": [2.0, 1.0, 3.0], **about} for name in command[5:]}
        job = json.loads(command[3])
        jobs.append(job)
        if job["arm"] == cases.FIFO and job["seed"] == 1:
            raise processes.Failed("exit -9: no message")
        found = record(0.5 + 0.1 * (job["arm"] == cases.OURS) + 0.01 * job["seed"])
        return {**found, "wall_s": 1.0}

    monkeypatch.setattr(processes, "measure", measure)
    monkeypatch.setattr(processes, "fingerprint", lambda: library[0])

    def run(**options):
        jobs.clear()
        plan = suite.Plan(("phone",), seeds=2, arms=ARMS, **options)
        return suite.Study(tmp_path, plan, lambda text: None).run()

    return library, jobs, run


def record(accuracy: float) -> dict:
    score = {"accuracy": accuracy, "balanced": accuracy / 2}
    linear = {share: score for share in ("0.01", "0.1", "1")}
    probes = {"knn": score, "linear": linear}
    uses = {"never": 0, "largest": 9, "gini": 0.25, "histogram": [0, 3]}
    return {
        **probes,
        "one_pass": probes,
        "uses": uses,
        "class_entropy": 2.0,
        "curve": [],
    }


def test_a_job_is_done_once_for_a_library_and_what_failed_again(study):
    library, jobs, run = study
    first = run()
    assert len(jobs) == 6 and len(first["records"]) == 5
    assert list(first["skipped"]) == ["phone, fifo, seed 1"]
    assert [job["counts"] for job in jobs].count(True) == 3  # of one seed
    again = run()
    assert [(job["arm"], job["seed"]) for job in jobs] == [(cases.FIFO, 1)]
    assert again["records"] == first["records"]
    library[0] = "second"
    assert len(run(keep=True)["records"]) == 5 and len(jobs) == 1
    run()
    assert len(jobs) == 6


def test_the_page_quotes_paired_differences_and_uses(study):
    _, _, run = study
    found = {**run(), "machine": "a desk", "versions": ["numpy==2"]}
    text = page.page(found, "python tools/benchmark.py")
    # Seeds differ by a point, both arms alike: 10 points apart without any spread.
    assert "| none | 50.5 | 50.5 | 50.5 | 50.5 | 25.2 | +10.0 ± 0.0 | 2 |" in text
    assert "| ours | 0 | 9 | 0.25 | 2.00 |" in text
    assert "phone, fifo, seed 1 is missing: exit -9" in text
    assert "| ours | 2.0 | 1.000 | 80 | 900 | 700 + 20 |" in text
    assert "| phone | one pass | none | +10.0 ± 0.0 | open: 2 of 5 seeds |" in text
    assert "- signs: all of it" in text and "- phone: `reservoir`, `random`" in text
    assert "- phone, seeds of `ours` (2 of 5), `none` (2 of 5), `fifo` (1 " in text


def test_bars_are_met_only_with_the_whole_interval_above_zero():
    def runs(case, arm, *accuracies):
        return [
            {**record(a), "case": case, "arm": arm, "seed": seed}
            for seed, a in enumerate(accuracies)
        ]

    records = runs("phone", cases.OURS, 0.50, 0.60, 0.70, 0.50, 0.60)
    records += runs("phone", cases.NONE, 0.45, 0.54, 0.66, 0.45, 0.55)  # 5 6 4 5 5
    records += runs("phone", cases.FIFO, 0.30, 0.60, 0.60, 0.50, 0.60)  # 20 0 10 0 0
    records += runs("phone", cases.MIN_RED, 0.515, 0.615)  # 1.5 above
    records += runs("phone", cases.UNTRAINED, 0.50, 0.60, 0.71)
    text = bars.table(records)
    assert "| phone | one pass | none | +5.0 ± 0.9 | met |" in text
    assert "| phone | equal seconds | fifo | +6.0 ± 11.1 | MISSED |" in text
    assert "| untrained, kNN | -0.3 ± 1.4 | open: 3 of 5 seeds |" in text
    assert (
        "| the best other policy, min_red | -1.5 ± 0.0 | open: 2 of 5 seeds |" in text
    )


def test_the_brief_study_is_a_part_of_the_full_one():
    for case in cases.CASES.values():
        for arm in case.arms:
            assert case.seeds_of(arm, full=False) <= case.seeds_of(arm, full=True)
    for name in bars.STREAMS:
        case = cases.CASES[name]
        for arm in case.arms:
            assert (case.seeds_of(arm, False) == 5) == (arm.name in cases.DECIDING)


def test_an_interval_is_of_paired_differences():
    first = {seed: record(0.5 + 0.1 * seed) for seed in range(3)}
    second = {seed: record(0.45 + 0.1 * seed - 0.01 * seed) for seed in range(3)}
    mean, half = figures.paired(first, second, "knn")
    assert mean == pytest.approx(6.0)  # of 5, 6 and 7 points
    assert half == pytest.approx(4.303 / np.sqrt(3))  # t of two degrees of freedom


def test_uniform_numbers_are_the_graphs():
    for seed, step, salt in ((0, 0, 0), (7, 123456, 3), (2**31 - 1, 2**31 - 1, 9)):
        state = np.array([seed, step], np.int32)
        expected = random.uniform(tf.constant(state), [50], salt).numpy()
        np.testing.assert_array_equal(uniform(state, 50, salt), expected)


def test_uses_are_those_that_the_buffer_counts_and_those_it_forgot(build):
    """Every new item is used once; in all, as often as rows were in mini-batches."""
    from tests import nets

    salt = nets.method_of("contrastive").replay.salts["draw"]
    counter, rows, filled = Counter(salt, 6, True), 0, 0
    with Session(build("contrastive")) as session:
        for step in range(9):
            before = session.state(include_buffers=True)
            metrics = session.train(x=images(6, step))
            after = session.state(include_buffers=True)
            counter.note(before, after)
            rows += 6 + min(filled, 6)
            filled = int(metrics["buffer_filled"][0])
            held = after["buffer_arrivals"][after["buffer_flags"] > 0]
            known = after["buffer_uses"][after["buffer_flags"] > 0]
            np.testing.assert_array_equal(counter.counts[held], known)
    assert counter.counts.min() >= 1 and counter.counts.sum() == rows
