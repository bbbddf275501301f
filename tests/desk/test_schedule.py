"""What is planned: which rows arrive by the sensor's clock, and which faults come."""

from __future__ import annotations

import pytest

from tflite_odl.desk import schedule
from tflite_odl.desk.profiles import Background, Profile, Sensor
from tflite_odl.errors import DeviceError


def profile(rate=0.0, queue=8, drop="oldest", **fields) -> Profile:
    return Profile("test", "a test", sensor=Sensor(rate, queue, drop), **fields)


def test_without_a_rate_every_row_is_taken_in_order():
    plan = schedule.plan(profile(), 3, 4, 1.0)
    assert [n for batch in plan.batches for n in batch] == list(range(12))
    assert plan.lost == 0 and plan.seconds == (1.0, 2.0, 3.0, 4.0)


def test_a_sensor_that_is_slower_is_waited_for():
    # Four rows a second, two a batch: half a second to come, a tenth to learn.
    plan = schedule.plan(profile(4.0), 2, 3, 0.1)
    assert plan.batches == ((0, 1), (2, 3), (4, 5)) and plan.lost == 0
    assert plan.seconds[0] == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("drop", "second"),
    # While the first step takes a second, ten rows come and four may wait.
    [("oldest", (8, 9)), ("newest", (2, 3))],
)
def test_a_full_queue_loses_what_the_profile_says(drop, second):
    plan = schedule.plan(profile(10.0, 4, drop), 2, 2, 1.0)
    assert plan.batches[0] == (0, 1) and plan.batches[1] == second
    assert plan.lost > 0


def test_a_sensor_that_waits_loses_nothing():
    plan = schedule.plan(profile(10.0, 4, "none"), 2, 5, 1.0)
    assert [n for batch in plan.batches for n in batch] == list(range(10))
    assert plan.lost == 0


def test_a_warm_phone_takes_longer():
    slow = profile(duty=((0.0, 1.0), (2.0, 0.25)))
    assert schedule.plan(slow, 1, 4, 1.0).seconds == (1.0, 2.0, 6.0, 10.0)


def test_a_window_that_closes_ends_the_app_in_that_batch():
    short = profile(background=Background(minutes=0.05))  # three seconds
    plan = schedule.plan(short, 1, 7, 1.0)
    ends = [fault.batch for fault in plan.faults if fault.kind == schedule.WINDOW_END]
    assert ends == [2, 5]


def test_faults_are_as_many_as_asked_for_and_the_seeds_own():
    asked = {"kill": 3, "gap": 2, "duplicate": 4, "corrupt": 5}
    plan, again, other = (
        schedule.plan(profile(), 4, 50, 0.1, asked, seed) for seed in (1, 1, 2)
    )
    assert plan == again and plan != other
    assert [fault.kind for fault in plan.faults] == ["kill"] * 3
    assert plan.lost == 2 * schedule.GAP_ROWS and plan.duplicates == 4
    arrived = [n for batch in plan.batches for n in batch]
    assert len(arrived) == 200 and len(set(arrived)) == 196
    assert 1 <= len(plan.corrupt) <= 5


@pytest.mark.parametrize("text", ["kil=3", "kill", "kill=-1", "kill=x", "=3"])
def test_a_fault_that_nobody_knows_is_named(text):
    with pytest.raises(DeviceError, match="needs NAME=NUMBER"):
        schedule.parse(text)


def test_faults_are_read_by_name():
    assert schedule.parse("kill=3,gap=0,") == {"kill": 3, "gap": 0}
