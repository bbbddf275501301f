"""A profile says what it limits, and nothing in its file is ignored."""

from __future__ import annotations

import pytest

from tflite_odl.desk import profiles
from tflite_odl.errors import DeviceError

WHOLE = 'about = "a test"\n'


def written(folder, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", profiles.names())
def test_each_built_in_one_can_be_read(name):
    found = profiles.load(name)
    assert found.name == name and found.about
    assert found.share(0) == 1.0 and found.share(1e9) == found.duty[-1][1]


def test_a_users_file_is_read_with_its_parts(tmp_path):
    text = WHOLE + (
        'core = "a55"\nmemory_mb = 64\nduty = [[0, 1.0], [60, 0.5]]\n'
        '[sensor]\nrows_per_second = 20\ndrop = "newest"\n[background]\nminutes = 3\n'
    )
    found = profiles.load(written(tmp_path, text))
    assert (found.name, found.core, found.memory_mb) == ("mine", "a55", 64.0)
    assert found.sensor == profiles.Sensor(20.0, 64, "newest")
    assert found.background.minutes == 3.0
    assert [found.share(second) for second in (0, 59.9, 60)] == [1.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("memory_mb = 1\n", "lacks about"),
        (WHOLE + "memory = 1\n", r"unknown \['memory'\]"),
        (WHOLE + 'memory_mb = "1"\n', "memory_mb is '1', needs float"),
        (WHOLE + "memory_mb = 0\n", "memory_mb is 0.0, needs a number above 0"),
        (WHOLE + "memory_mb = inf\n", "needs a number above 0"),
        (WHOLE + "threads = 2.5\n", "threads is 2.5, needs int"),
        (WHOLE + "threads = 0\n", "threads is 0, needs 1 to 16"),
        (WHOLE + 'core = "m1"\n', "core is 'm1', needs one of a55"),
        (WHOLE + "duty = [[1, 1.0]]\n", "seconds that rise from 0"),
        (WHOLE + "duty = [[0, 1.5]]\n", "shares above 0, up to 1"),
        (WHOLE + "duty = 1\n", "duty is 1"),
        (WHOLE + "sensor = 5\n", "5 is no table"),
        (WHOLE + "[sensor]\nrate = 5\n", r"unknown \['rate'\]"),
        (WHOLE + '[sensor]\ndrop = "some"\n', "sensor.drop is 'some'"),
        ("about = \n", "cannot be read"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, told):
    with pytest.raises(DeviceError, match=told):
        profiles.load(written(tmp_path, text))


def test_a_missing_one_lists_the_others():
    with pytest.raises(DeviceError, match="one of flagship, low_end"):
        profiles.load("toaster")
