"""Orders of a stream: what a pass shows, how alike neighbours are, how it goes on."""

import itertools

import numpy as np
import pytest

from tflite_odl import streams
from tflite_odl.errors import DataError
from tflite_odl.streams import orders
from tflite_odl.streams.dataset import Split

Y = np.repeat(np.arange(5, dtype=np.int32), 20)[
    np.random.default_rng(0).permutation(100)
]
GROUP = np.int32([9] * 30 + [2] * 50 + [4] * 20)
WHOLE = ("iid", "sequential", "stc=7", "blurred", "concurrent", "tracks", "sessions")


def epoch(text, seed=1, number=0, y=Y, group=GROUP):
    return orders.parse(text).epoch(y, group, seed, number)


def runs(labels):
    return [(key, len(list(members))) for key, members in itertools.groupby(labels)]


@pytest.mark.parametrize("text", [*WHOLE, "imbalanced=4"])
def test_a_pass_is_a_function_of_seed_and_number(text):
    first = epoch(text)
    np.testing.assert_array_equal(first, epoch(text))
    assert len(np.unique(first)) == len(first)
    if text in WHOLE:
        assert sorted(first) == list(range(100))
    if text != "sequential":
        # Of three tracks there are but six orders: two of them may be equal.
        assert any((first != epoch(text, number=k)).any() for k in range(1, 9))
        assert any((first != epoch(text, seed=k)).any() for k in range(2, 9))


@pytest.mark.parametrize("text", [*WHOLE, "imbalanced=4"])
def test_goes_on_from_any_batch(text):
    split = Split(np.arange(100, dtype=np.float32)[:, None], Y, GROUP)
    whole = [x for (x, _), _ in zip(split.batches(16, 3, order=text), range(20))]
    for start in (1, 9, 13):
        again = next(split.batches(16, 3, start, text))[0]
        np.testing.assert_array_equal(again, whole[start])
    one_by_one = [x for (x, _), _ in zip(split.batches(1, 3, order=text), range(320))]
    np.testing.assert_array_equal(np.concatenate(one_by_one), np.concatenate(whole))


def test_stc_gives_runs_of_one_class():
    labels = Y[epoch("stc=7")]
    # Each class: runs of 7, 7 and 6 rows; some stand side by side.
    assert all(length >= 6 for _, length in runs(labels))
    assert len(runs(Y[epoch("stc=1")])) > 60
    assert [length for _, length in runs(Y[epoch("stc=1000")])] == [20] * 5


def test_blurred_boundaries_mix_neighbours_only():
    assert [length for _, length in runs(Y[epoch("blurred=0")])] == [20] * 5
    labels = Y[epoch("blurred=0.5")]
    classes = [key for key, _ in runs(Y[epoch("blurred=0")])]
    mixed = 0
    for place, label in enumerate(labels):
        # A row moves by at most a quarter of a class, 5 places, others pass it by.
        home = classes.index(label)
        assert 20 * home - 10 <= place < 20 * home + 30
        mixed += place // 20 != home
    assert 0 < mixed < 40


def test_concurrent_shows_so_many_classes_at_a_time():
    labels = Y[epoch("concurrent=2")]
    parts = [set(labels[a:b].tolist()) for a, b in ((0, 40), (40, 80), (80, 100))]
    sizes = sorted(map(len, parts))
    assert sum(sizes) <= 7 and len(set.union(*parts)) == 5
    # The odd class may stand in any place but the groups are formed in order.
    assert [len(part) for part in parts] == [2, 2, 1]
    assert len(runs(labels[:40])) > 8


def test_imbalanced_has_a_long_tail_that_stays_the_same():
    counts = np.bincount(Y[epoch("imbalanced=16")])
    np.testing.assert_array_equal(
        counts, [20, 10, 5, 2, 1]
    )  # 20 / 2^k, 2.5 rounds to 2
    assert set(epoch("imbalanced=16")) == set(epoch("imbalanced=16", number=3))


def test_tracks_stay_whole_and_in_their_order():
    order = epoch("tracks")
    assert sorted(key for key, _ in runs(GROUP[order])) == [2, 4, 9]
    for group in (2, 4, 9):
        np.testing.assert_array_equal(
            order[GROUP[order] == group], np.flatnonzero(GROUP == group)
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("random", "order 'random' is not one of"),
        ("iid=3", "'iid' takes no number"),
        ("stc=x", "'x' is no length"),
        ("stc=0", "length of an order is 0"),
        ("blurred=-1", "width of an order is -1"),
        ("imbalanced=0.5", "ratio of an order is 0.5"),
    ],
)
def test_unknown_orders_are_refused(text, message):
    with pytest.raises(DataError, match=message):
        orders.parse(text)


def test_what_an_order_goes_by_must_be_there():
    with pytest.raises(DataError, match="this split has none"):
        epoch("tracks", group=None)
    with pytest.raises(DataError, match="goes by one class of each row"):
        epoch("stc", y=np.zeros((4, 3), np.float32))


@pytest.mark.data
def test_tracks_of_traffic_signs(recordings):
    signs = streams.open(f"npz:{recordings / 'traffic_sign_tracks.npz'}").train
    order = orders.parse("tracks").epoch(signs.y, signs.group, 0, 0)
    assert [length for _, length in runs(signs.group[order])] == [30] * 296
    # 29 of 30 neighbours are of one track: half as far apart as across tracks.
    assert (np.diff(signs.y[order]) == 0).mean() > 0.96
    x = signs.x[order[:600]].astype(np.float32)
    near = np.abs(np.diff(x, axis=0)).mean()
    iid = signs.x[orders.parse("iid").epoch(signs.y, signs.group, 0, 0)[:600]]
    far = np.abs(np.diff(iid.astype(np.float32), axis=0)).mean()
    assert near < far / 2


@pytest.mark.data
def test_sessions_of_phone_activity(recordings):
    path = recordings / "phone_activity.npz"
    phone = streams.open(f"npz:{path}")
    train = phone.train
    assert train.x.dtype == np.float32 and train.x.shape[1:] == (128, 6)
    # At rest an accelerometer measures gravity: SI units, 9.8 m/s^2 within a third.
    assert abs(np.linalg.norm(train.x[..., :3], axis=-1).mean() - 9.8) < 3.3
    order = orders.parse("sessions").epoch(train.y, train.group, 0, 0)
    found = runs(train.group[order])
    assert len(found) == len(np.unique(train.group)) and len(found) < 223
    assert not set(train.group) & set(phone.test.group)
    # One execution has several activities, in the order they were done.
    assert len(runs(train.y[order])) > 2 * len(found)
