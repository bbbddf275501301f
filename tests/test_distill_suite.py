"""The distill suite's rules: what is run again, how it compares, what a story is."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tools"))
import processes

from tests.nets import BATCH, CLASSES
from tflite_odl.host.session import Session
from tflite_odl.streams.dataset import Split
from tools.distill import cases, figures, page, rows, sources, suite, training

# Of an arm's accuracy, beside 1 % for each seed.
GAINS = {"T = 2": 0.05, "ours": 0.06, "ours, bound largest": -0.1}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Returns (the library's state, jobs that ran, a function that runs digits)."""
    library, jobs = ["first"], []

    def measure(command, most_seconds=0):
        script, given = command[2].rpartition(".")[2], command[3:]
        if script == "sources":
            place, _, case, seeds, _ = given
            for arm in cases.CASES[case].artifacts:
                (place / arm.artifact).mkdir(parents=True)
            for seed in range(seeds):
                (place / f"weights-{seed}.npz").touch()
            about = {"net": "resnet8", "accuracy": 0.99}
            (place / "teacher.json").write_text(json.dumps(about))
            return about
        if script == "timing":
            times = {"finetune": [10, 20], "frozen": [13, 26], "online": [21, 42]}
            return {"times": times, "cpu": times, "memory_mb": 20.0}
        job = json.loads(given[0])
        jobs.append(job)
        if job["arm"] == "CTKD":
            raise processes.Failed("exit -9: no message")
        right = 0.8 + GAINS.get(job["arm"], 0) + 0.01 * job["seed"]
        point = {"step": 1, "temperature": 2.0}
        spent = {"wall_s": 2.0, "cpu_s": 1.0}
        return {"curve": [point], "accuracy": right, "validation": right, **spent}

    monkeypatch.setattr(processes, "measure", measure)
    monkeypatch.setattr(processes, "fingerprint", lambda: library[0])

    def run(**options):
        jobs.clear()
        plan = suite.Plan(("digits",), seeds=2, **options)
        return suite.Study(tmp_path, plan, lambda text: None).run()

    return library, jobs, run


def test_a_run_is_made_once_for_a_library(study, tmp_path):
    library, jobs, run = study
    count = 2 * len(cases.ALL)
    first = run()
    assert len(jobs) == count and len(first["records"]) == count - 2
    assert run() == first and {job["arm"] for job in jobs} == {"CTKD"}
    library[0] = "second"
    run(keep=True)
    assert len(jobs) == 2
    library[0] = "third"
    assert len(run(keep=True, arms=("ours", "T = 1"))["records"]) == 4
    assert not jobs and not (tmp_path / "digits" / "third").exists()
    run()
    assert len(jobs) == count


def test_the_page_compares_arms_of_the_same_seed(study):
    found = study[2]() | {"machine": "a desk", "versions": ["numpy==2"]}
    text = page.page(found, "the command")
    assert "| 1 | frozen | 1.30 | 1.30 | 1.00 |" in text
    # Half an interval of two values is 12.706 of their deviation, divided by sqrt(2).
    assert "| T = 2 | 85.5 % ± 6.4 | +5.00 ± 0.00 | 2 |" in text
    assert "- ours less best T (T = 2): +1.00 ± 0.00" in text
    assert "- ours less best constant bound (ours, bound one): +6.00 ± 0.00" in text
    line = "| digits | **+6.00 ± 0.00** | **+5.00 ± 0.00** | **+1.00 ± 0.00** | "
    assert f"{line}**+6.00 ± 0.00** |" in text
    assert "- digits, CTKD, seed 0: exit -9: no message" in text


def test_intervals_are_students():
    stats = pytest.importorskip("scipy.stats")
    values = [0.9, 0.95, 0.91, 0.97]
    middle, half = figures.interval(values)
    low, high = stats.t.interval(0.95, 3, middle, stats.sem(values))
    assert (middle - half, middle + half) == pytest.approx((low, high), abs=1e-5)
    assert figures.interval([0.5]) == (0.5, None)
    expected = [stats.t.ppf(0.975, n) for n in range(1, 10)]
    np.testing.assert_allclose(figures.T_975, expected, atol=6e-4)


def test_every_arm_is_one_that_distill_knows(tmp_path):
    """Options are configurations, settings are what `configure` takes."""
    case = dataclasses.replace(cases.CASES["digits"], arms=cases.ALL)
    about = rows.of_case(case)
    sources.net(case, about, 0, teacher=True).save(tmp_path / sources.TEACHER)
    for arm in case.artifacts:
        method = sources.method(tmp_path, case, arm, about)
        known = method.hyperparameters()
        shared = [other for other in case.arms if other.artifact == arm.artifact]
        assert all(name in known for other in shared for name, _ in other.settings)
        assert arm.online == (method.teacher_learner is not None)


def test_few_rows_keep_their_labels():
    """What has labels is the same for all arms; only labels teach the base."""
    whole = rows.of_case(cases.CASES["digits"])
    few = rows.of_case(cases.CASES["digits 63 labels"])
    labelled = training.seen(cases.ALONE, few)
    mixed = training.seen(cases.OURS, few)
    np.testing.assert_array_equal(mixed.x, whole.labelled.x)
    np.testing.assert_array_equal(mixed.x[:63], labelled.x)
    np.testing.assert_array_equal(mixed.y[:63], labelled.y)
    assert len(labelled) == 63 and set(labelled.y.tolist()) == set(range(10))
    assert set(mixed.y[63:].tolist()) == {-1}
    assert training.seen(cases.OURS, whole) is whole.labelled


def some(seed: int) -> Split:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4 * BATCH, 6, 6, 2)).astype(np.float32)
    return Split(x, rng.integers(0, CLASSES, len(x)).astype(np.int32))


def test_a_story_begins_anew_but_for_the_weights(build, monkeypatch):
    case = dataclasses.replace(cases.CASES["digits story"], batch=BATCH)
    new = some(1)
    hidden = Split(new.x, np.full_like(new.y, -1))
    parts = {"taught": some(0), "labelled": some(0), "new": hidden, "test": some(1)}
    about = rows.Rows(("a", "b", "c"), 1.0, 0.0, validation=None, **parts)
    seen = []

    def trained(session, case, split, job):
        state = session.state()
        seen.append((state, set(split.y.tolist()), session.configure()))
        for x, y in [next(split.batches(BATCH, 0))]:
            session.train(x=x, y=y)
        return []

    monkeypatch.setattr(training, "trained", trained)
    with Session(build("distill-frozen")) as session:
        found = training.told(session, case, cases.OURS, about, {"seed": 0, "steps": 1})
    (first, labels, alone), (then, unlabelled, ours) = seen
    assert labels == {0, 1, 2} and unlabelled == {-1} and 0 <= found["before"] <= 1
    assert alone["teacher_weight"] == 0 and ours["teacher_weight"] > 0.8
    for name in ("step", "entropy_steps", "distance_peak"):
        assert then[name].tobytes() == first[name].tobytes()
    assert then["stem_kernel"].tobytes() != first["stem_kernel"].tobytes()
