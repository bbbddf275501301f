"""Artifacts beside each other: which fits which phone, and the page that says so."""

import pytest

from tests.test_messages import tool
from tflite_odl.desk.profiles import Profile, Sensor
from tflite_odl.host.artifact import Artifact
from tools.compare import fitting, page

SENSOR = Sensor(rows_per_second=10)
ROOMY = Profile("roomy", "a test", core="a76", gigahertz=2.0, sensor=SENSOR)


@pytest.fixture
def artifact(build) -> Artifact:
    return Artifact.open(build("finetune-sgd"))


def test_a_step_is_held_against_what_the_sensor_leaves(artifact):
    # Batches of 6 rows at 10 a second leave 0.6 s: 1.2 G cycles at 2 GHz.
    fits = fitting.fit("a", artifact, ROOMY, {"a76": 600.0})
    assert fits.problems == () and fits.share == pytest.approx(0.5)
    late = fitting.fit("a", artifact, ROOMY, {"a76": 2400.0})
    assert late.problems == ("a step takes 2.0 times what the sensor leaves",)
    assert fitting.fit("a", artifact, ROOMY, {"x4": 600.0}).share is None


@pytest.mark.parametrize("limit", ["memory_mb", "storage_mb"])
def test_what_does_not_fit_is_told(artifact, limit):
    small = Profile("small", "a test", **{limit: 1e-3})
    (problem,) = fitting.fit("a", artifact, small, {}).problems
    assert "0.001" in problem


def test_the_first_that_fits_is_advised():
    fits = [
        fitting.Fit("low", "big", ("too large",), None),
        fitting.Fit("low", "small", (), 0.2),
        fitting.Fit("high", "big", (), 0.1),
        fitting.Fit("high", "small", (), 0.1),
        fitting.Fit("none", "big", ("too large",), None),
        fitting.Fit("none", "small", ("too late",), 2.0),
    ]
    assert fitting.advice(fits, ["big", "small"]) == {
        "low": "small",
        "high": "big",
        "none": "none (big: too large; small: too late)",
    }


def test_ratios_are_of_the_same_round():
    def one(ms):
        return {"train": {"ms": ms, "cpu_ms": ms}}

    record = dict.fromkeys(
        "method quantization batch model_kb compressed_kb state_kb memory_mb "
        "measured_mb".split(),
        1,
    )
    results = {
        "machine": "a desk",
        "threads": 1,
        # The machine slows down threefold; b takes twice a's time all along.
        "rounds": [{"a": one(1.0), "b": one(2.0)}, {"a": one(3.0), "b": one(6.0)}],
        "records": [{"name": n, "counts": {}, **record} for n in "ab"],
        "advice": {"low": "a"},
    }
    text = page.page(results, "a command")
    assert "| train | b | 4.000 | 2.00 (2.00 - 2.00) |" in text


def test_artifacts_that_are_none_are_named(build, tmp_path):
    artifact = str(build("finetune-sgd"))
    done = tool("benchmark", "--suite=compare", artifact, str(tmp_path / "no"))
    assert done.returncode == 2 and "no" in done.stderr.splitlines()[-1]
    done = tool("benchmark", "--suite=compare", artifact)
    assert done.returncode == 2 and "two artifacts or more" in done.stderr
