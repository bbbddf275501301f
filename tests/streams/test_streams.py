"""Streams: every layout, order and change against plain expectations."""

from __future__ import annotations

import io

import numpy as np
import pytest

from tflite_odl import streams
from tflite_odl.errors import DataError
from tflite_odl.streams import packed
from tflite_odl.streams.dataset import Dataset, Split


def split(rows: int) -> Split:
    return Split(np.arange(rows, dtype=np.float32)[:, None], np.zeros(rows, np.int32))


def test_batches_are_a_function_of_seed_and_number():
    ten = split(10)

    def take(start, count, **options):
        stream = ten.batches(4, start=start, **options)
        return np.concatenate([next(stream)[0][:, 0] for _ in range(count)])

    whole = take(0, 10, seed=3)
    np.testing.assert_array_equal(whole[12:], take(3, 7, seed=3))
    # Four epochs of ten rows: each row exactly once in each.
    for epoch in range(4):
        assert sorted(whole[epoch * 10 : epoch * 10 + 10]) == list(range(10))
    assert (whole[:10] != whole[10:20]).any() and (whole != take(0, 10, seed=4)).any()
    np.testing.assert_array_equal(take(0, 3, order="sequential"), [*range(10), 0, 1])
    with pytest.raises(DataError, match="order 'random'"):
        next(ten.batches(4, order="random"))


def test_digits_and_their_changes():
    digits = streams.open("digits")
    assert digits.train.x.shape == (1400, 8, 8, 1) and digits.train.x.dtype == np.uint8
    assert len(digits.test) == 397 and digits.train.x.max() == 16
    turned = streams.open("digits:rotate=90,invert")
    for row in (0, 7):
        expected = 16 - np.rot90(digits.test.x[row, :, :, 0])
        np.testing.assert_array_equal(turned.test.x[row, :, :, 0], expected)
    np.testing.assert_array_equal(turned.train.y, digits.train.y)


@pytest.mark.parametrize("spec", ["mnist", "npz:", "digits:rotate=a", "digits:flip"])
def test_unknown_specs_are_refused(spec):
    with pytest.raises(DataError, match="use "):
        streams.open(spec)


def rows(**changes):
    found = {
        "x_train": np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3),
        "y_train": np.array([0, 1]),
        "x_test": np.zeros((1, 2, 2, 3), np.uint8),
        "y_test": np.array([1]),
        "class_names": np.array(["a", "b"]),
    }
    return {key: v for key, v in {**found, **changes}.items() if v is not None}


def test_npz_of_rows_is_unpacked_once(tmp_path, monkeypatch):
    path = tmp_path / "r.npz"
    np.savez_compressed(path, **rows(track_train=np.array([5, 6])))
    first = streams.open(f"npz:{path}", tmp_path / "cache")
    np.testing.assert_array_equal(first.train.x, rows()["x_train"])
    np.testing.assert_array_equal(first.train.group, [5, 6])
    assert isinstance(first.train.x, np.memmap) and first.classes == ("a", "b")
    (file,) = (tmp_path / "cache").iterdir()
    written = file.stat().st_mtime_ns
    streams.open(f"npz:{path}", tmp_path / "cache")
    assert file.stat().st_mtime_ns == written
    file.write_bytes(file.read_bytes()[:-1])  # cut: found and made anew
    again = streams.open(f"npz:{path}", tmp_path / "cache")
    np.testing.assert_array_equal(again.train.x, rows()["x_train"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "known layouts"),
        ({"x_train": np.zeros((2, 2))}, "x_train is float64"),
        ({"y_train": np.zeros(2)}, r"y_train is \[2\] float64"),
        ({"y_train": np.zeros((2, 3))}, "y_train has 3 columns, there are 2"),
        ({"y_train": np.array([0, 2])}, "labels of train run from 0 to 2"),
        ({"y_train": np.array([0])}, "2 rows of x_train, 1 of y"),
    ],
)
def test_npz_that_does_not_fit_says_why(tmp_path, changes, message):
    path = tmp_path / "r.npz"
    np.savez_compressed(path, **rows(**changes))
    with pytest.raises(DataError, match=message):
        streams.open(f"npz:{path}", tmp_path / "cache")


def test_npz_missing_or_no_npz(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        streams.open(f"npz:{tmp_path}/none.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DataError, match="no npz of plain arrays"):
        streams.open(f"npz:{tmp_path}/text.npz", tmp_path)


def test_jpeg_layout(tmp_path):
    image = pytest.importorskip("PIL.Image")
    grey = np.full((8, 8, 3), 90, np.uint8)
    buffer = io.BytesIO()
    image.fromarray(grey).save(buffer, "JPEG")
    data = np.frombuffer(buffer.getvalue() * 2, np.uint8)
    offsets = np.array([0, len(data) // 2, len(data)])
    part = {"jpeg": data, "offsets": offsets, "y": np.array([0, 1])}
    arrays = {f"{k}_{p}": v for p in ("train", "test") for k, v in part.items()}
    np.savez(tmp_path / "j.npz", **arrays)
    found = streams.open(f"npz:{tmp_path}/j.npz", tmp_path / "cache")
    np.testing.assert_array_equal(found.test.x, [grey, grey])


def test_phone_windows_stay_within_an_execution(tmp_path):
    n = 600
    signal = np.arange(n, dtype=np.int16)[:, None].repeat(6, 1)
    subject = np.where(np.arange(n) < 300, 1, 19)
    arrays = {
        "phone_signal": signal,
        "scale": np.full(6, 0.5),
        "phone_y": np.zeros(n, np.int8),
        "phone_subject": subject,
        "phone_execution": np.ones(n),
        "activity_names": np.array(["walk"]),
    }
    np.savez(tmp_path / "p.npz", **arrays)
    found = streams.open(f"npz:{tmp_path}/p.npz", tmp_path / "cache")
    starts = found.train.x[:, 0, 0] * 2
    np.testing.assert_array_equal(starts, [0, 32, 64, 96, 128, 160])  # 172 is the last
    assert found.train.x.shape[1:] == (128, 6) and found.train.x.dtype == np.float32
    assert (found.test.x[:, 0, 0] * 2 >= 300).all()


def test_packed_file_holds_any_shape_and_says_what_it_is(tmp_path):
    arrays = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "y": np.int32([1, 2])}
    packed.write(tmp_path / "s", arrays, {"classes": "a"})
    found, about = packed.read(tmp_path / "s")
    assert about["classes"] == "a"
    for name, value in arrays.items():
        np.testing.assert_array_equal(found[name], value)
    (tmp_path / "t").write_bytes(b"\x05")
    with pytest.raises(DataError, match="no packed stream"):
        packed.read(tmp_path / "t")


def test_no_damaged_packed_file_is_read(tmp_path):
    """Every third bit of the header, many of the data, cuts and ranges of zeros."""
    x = np.arange(1, 1201, dtype=np.float32).reshape(300, 4)
    arrays = {
        "x": x,
        "y": np.arange(300, dtype=np.int32),
        "none": np.zeros((0, 4), "u1"),
    }
    packed.write(tmp_path / "s", arrays, {"classes": "a\nb", "scale": "0.5"})
    whole = (tmp_path / "s").read_bytes()
    begin = 8 + int.from_bytes(whole[:8], "little")
    rng, wrong, tried = np.random.default_rng(0), 0, 0
    bits = [*range(0, 8 * begin, 3), *rng.integers(8 * begin, 8 * len(whole), 500)]
    damaged = [_flipped(whole, bit) for bit in bits]
    damaged += [whole[:place] for place in rng.integers(0, len(whole), 200)]
    damaged += [whole + b"x"]
    for place in rng.integers(begin, len(whole) - 50, 200):
        damaged.append(whole[:place] + bytes(40) + whole[place + 40 :])
    for content in damaged:
        (tmp_path / "d").write_bytes(content)
        try:
            found, about = packed.read(tmp_path / "d")
        except DataError:
            tried += 1
            continue
        wrong += about != {"classes": "a\nb", "scale": "0.5"}
        wrong += any((found[name] != arrays[name]).any() for name in arrays)
    # What is read all the same is equal: a blank in the header made another.
    assert wrong == 0 and tried > 0.98 * len(damaged)


def _flipped(content: bytes, bit: int) -> bytes:
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def test_a_damaged_cache_is_rebuilt(tmp_path):
    np.savez_compressed(tmp_path / "r.npz", **rows())
    streams.open(f"npz:{tmp_path}/r.npz", tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    for bit in range(0, 8 * len(whole), 13):
        file.write_bytes(_flipped(whole, bit))
        found = streams.open(f"npz:{tmp_path}/r.npz", tmp_path / "cache")
        np.testing.assert_array_equal(found.train.x, rows()["x_train"])
        assert found.classes == ("a", "b")


def test_dataset_checks_its_labels():
    with pytest.raises(DataError, match="there are 0 classes"):
        Dataset("d", (), split(3), split(3), 1.0, 0.0)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "train", "test", "shape"),
    [
        ("phone_activity", 1717, 462, (128, 6)),
        ("traffic_sign_tracks", 8880, 2500, (32, 32, 3)),
    ],
)
def test_real_recordings(recordings, tmp_path, name, train, test, shape):
    found = streams.open(f"npz:{recordings}/{name}.npz", tmp_path)
    assert (len(found.train), len(found.test)) == (train, test)
    assert found.input_shape == shape


def facts(dataset) -> tuple:
    """Returns what training sees of a dataset, copied from the mapped file."""
    parts = (dataset.train, dataset.test)
    arrays = [array.tolist() for part in parts for array in (part.x, part.y)]
    return arrays, dataset.classes, dataset.scale, dataset.offset


@pytest.mark.parametrize("mutation", range(120))
def test_no_damage_of_a_recording_or_its_cache_is_a_traceback(tmp_path, mutation):
    """A damaged recording is refused or gives the same rows; a cache is made anew."""
    rng = np.random.default_rng(mutation)
    path, cache = tmp_path / "r.npz", tmp_path / "cache"
    save = np.savez_compressed if mutation % 2 else np.savez
    save(path, **rows())
    whole = facts(streams.open(f"npz:{path}", cache))
    (packed_file,) = cache.iterdir()
    for file in (packed_file, path):
        content = bytearray(file.read_bytes())
        at, size = int(rng.integers(len(content))), int(rng.integers(1, 40))
        if mutation % 3 == 0:
            content[at] ^= 1 << int(rng.integers(8))
        elif mutation % 3 == 1:
            content[at : at + size] = rng.bytes(size)
        else:
            del content[at:]
        file.write_bytes(content)
        try:
            found = streams.open(f"npz:{path}", cache)
        except DataError:
            assert file == path
            continue
        assert facts(found) == whole


def test_arrays_that_do_not_fit_each_other_are_refused(tmp_path):
    path = tmp_path / "r.npz"
    for changes in (
        {"y_train": np.array([0])},
        {"y_train": np.array(3)},
        {"y_test": np.array(["a"])},
        {"x_train": np.array(1, np.uint8)},
        {"track_train": np.array(["a", "b"])},
    ):
        np.savez(path, **rows(**changes))
        with pytest.raises(DataError):
            streams.open(f"npz:{path}", tmp_path / "cache")
    jpeg = {"jpeg": np.zeros(9, np.uint8), "offsets": np.array([0, 9]), "y": [0]}
    parts = {f"{n}_{part}": v for n, v in jpeg.items() for part in ("train", "test")}
    np.savez(path, **parts)
    with pytest.raises(DataError, match="do not fit"):
        streams.open(f"npz:{path}", tmp_path / "cache")


def test_where_the_cache_cannot_be_is_told(tmp_path):
    path = tmp_path / "r.npz"
    np.savez(path, **rows())
    with pytest.raises(DataError, match="cannot write"):
        streams.open(f"npz:{path}", path)


@pytest.mark.parametrize(
    "change", ["rotate=--5", "rotate=\u00b2", "rotate=" + "9" * 5000]
)
def test_numbers_that_only_look_like_some(change):
    with pytest.raises(DataError, match="use rotate"):
        streams.open(f"digits:{change}")
