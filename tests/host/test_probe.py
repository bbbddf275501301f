"""Probes and figures on cases whose answers are known."""

import subprocess
import sys

import numpy as np
import pytest

from tflite_odl.errors import DataError
from tflite_odl.host import probe


def blobs(rows=200, classes=4, apart=8.0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(rows, dtype=np.int32) % classes
    centres = np.random.default_rng(5).normal(size=(classes, 10)) * apart
    return centres[y] + rng.normal(size=(rows, 10)), y


def test_few_labels_are_stratified_seeded_and_never_unlabelled():
    y = np.int32([0] * 100 + [1] * 50 + [2] * 3 + [-1] * 20)
    rows = probe.few_labels(y, 0.1, 0)
    np.testing.assert_array_equal(np.bincount(y[rows]), [10, 5, 1])
    np.testing.assert_array_equal(rows, probe.few_labels(y, 0.1, 0))
    assert set(rows) != set(probe.few_labels(y, 0.1, 1))
    np.testing.assert_array_equal(probe.few_labels(y, 1.0, 0), np.arange(153))
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(DataError, match="share of labels"):
            probe.few_labels(y, share, 0)
    with pytest.raises(DataError, match="no row has a label"):
        probe.few_labels(np.int32([-1, -1]), 1.0, 0)


@pytest.mark.parametrize("share", [0.02, 0.1, 1.0])
def test_probes_know_separate_classes_and_nothing_of_noise(share):
    (x, y), (x_test, y_test) = blobs(), blobs(seed=1)
    assert probe.linear_probe(x, y, x_test, y_test, share).accuracy == 1.0
    assert probe.knn(x, y, x_test, y_test).accuracy == 1.0
    noise, other = np.random.default_rng(0).normal(size=(2, 200, 10))
    # 4.5 sigma of 200 guesses at 1 of 4
    assert (
        abs(probe.linear_probe(noise, y, other, y_test, share).accuracy - 0.25) < 0.14
    )


def test_unlabelled_rows_count_nowhere_and_labels_need_not_be_dense():
    x, y = blobs()
    sparse = np.where(np.arange(200) < 100, y * 10, -1).astype(np.int32)
    assert probe.linear_probe(x, sparse, x, (y * 10).astype(np.int32)).accuracy == 1.0
    assert probe.knn(x, sparse, x, (y * 10).astype(np.int32)).accuracy == 1.0


def test_knn_votes_and_ties():
    x = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1.0]])
    y = np.int32([0, 0, 1, 1])
    one = np.array([[1, 0.5]])
    assert probe.knn(x, y, one, np.int32([0]), neighbours=3).accuracy == 1.0
    # Two votes each: the nearer two win.
    assert probe.knn(x, y, one, np.int32([0]), neighbours=4).accuracy == 1.0
    # Three far rows outvote one that is equal.
    x = np.array([[1, 0], [0, 1], [0.1, 1], [0.2, 1]])
    assert probe.knn(x, np.int32([0, 1, 1, 1]), x[:1], np.int32([1]), 4).accuracy == 1.0


def test_uses():
    found = probe.uses([3, 3, 3, 3])
    assert (found.never, found.gini, found.largest) == (0, 0.0, 3)
    np.testing.assert_array_equal(found.histogram, [0, 0, 0, 4])
    found = probe.uses([0, 8, 0, 0])
    assert (found.never, found.gini, found.largest) == (3, 0.75, 8)
    # Mean absolute difference of all pairs over twice the mean: (0, 1, 2) -> 8/9 / 2.
    assert probe.uses([2, 0, 1]).gini == pytest.approx(4 / 9)
    assert probe.uses([0, 0]).gini == 0.0
    for wrong in ([], [-1, 2]):
        with pytest.raises(DataError, match="uses are counts"):
            probe.uses(wrong)


def test_class_entropy():
    assert probe.class_entropy(np.int32([0, 1, 2, 3])) == 2.0
    assert probe.class_entropy(np.int32([5, 5, 5, -1])) == 0.0
    assert probe.class_entropy(np.int32([-1])) == 0.0
    assert probe.class_entropy(np.int32([0, 0, 0, 1])) == pytest.approx(0.8112781)


def test_what_does_not_fit_is_refused():
    x, y = blobs(8)
    with pytest.raises(DataError, match=r"got \[7, 10\] and \[8\]"):
        probe.linear_probe(x[:7], y, x, y)
    x[3, 2] = np.nan
    with pytest.raises(DataError, match="not all finite"):
        probe.knn(x, y, x, y)


def test_needs_no_tensorflow():
    code = (
        "import sys, tflite_odl.host.probe as p; "
        "sys.exit(any(n in sys.modules for n in ('tensorflow', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_classes_weigh_alike_in_the_balanced_score():
    y = np.int32([0] * 8 + [1] * 2)
    score = probe.Score.of(np.int32([0] * 9 + [1]), y)
    assert (score.accuracy, score.balanced) == (0.9, 0.75)


def test_few_labels_are_drawn_several_times(monkeypatch):
    """The mean of probes of each draw by itself; all labels are one draw."""
    (x, y), (x_test, y_test) = blobs(apart=0.3), blobs(apart=0.3, seed=1)
    expected = []
    for draw in range(probe.DRAWS):
        rows = probe.few_labels(y, 0.1, 3, draw)
        fitted = probe.LinearProbe.fit(x[rows], y[rows])
        expected.append((fitted.predict(x_test) == y_test).mean())
    assert np.ptp(expected) > 0
    found = probe.linear_probe(x, y, x_test, y_test, 0.1, 3)
    assert found.accuracy == pytest.approx(np.mean(expected))
    # Equally many rows of each class.
    assert found.balanced == pytest.approx(found.accuracy)
    monkeypatch.setattr(probe, "few_labels", lambda y, *of: np.arange(len(y))[of[2] :])
    whole = probe.LinearProbe.fit(x, y).predict(x_test)
    found = probe.linear_probe(x, y, x_test, y_test, 1.0)
    assert found.accuracy == (whole == y_test).mean()
