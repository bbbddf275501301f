"""The linear probe against closed forms, loops, and scikit-learn's regression."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tflite_odl.errors import DataError
from tflite_odl.host import linear_probe
from tflite_odl.host.linear_probe import FOLDS, PENALTIES, LinearProbe, folds, path


def rows(count=60, wide=4, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, count)
    centres = rng.normal(size=(classes, wide))
    x = (centres[y] + rng.normal(size=(count, wide))) * [1, 5, 0.5, 2][:wide]
    return x, y


def test_two_rows_have_a_closed_form():
    """x = -+1, one of each class: w solves penalty w = sigmoid(-2 w) for w = -+w."""
    penalty = 0.1
    (found,) = path(np.array([[-1.0], [1.0]]), np.eye(2), np.array([penalty]))
    (w0, w1), offset = found
    assert w0 == pytest.approx(-w1) and abs(offset).max() < 1e-6
    # The objective may be 1e-7 above its minimum, w its root off: 1e-3.
    assert penalty * w1 == pytest.approx(1 / (1 + np.exp(2 * w1)), abs=1e-3)


@pytest.mark.parametrize("penalty", [10.0, 0.1, 1e-4])
def test_the_minimum_is_scikit_learns(penalty):
    x, y = rows()
    x = (x - x.mean(0)) / x.std(0)
    target = np.eye(3)[y]
    strong_first = PENALTIES[PENALTIES >= penalty * 0.99]
    found = path(x, target, strong_first)[-1]
    other = LogisticRegression(C=1 / (penalty * len(x)), tol=1e-10, max_iter=9999)
    other.fit(x, y)

    def objective(weights, offset):
        logits = x @ weights + offset
        lost = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(y)), y]
        return lost.mean() + penalty / 2 * (weights**2).sum()

    least = objective(other.coef_.T, other.intercept_)
    # `_minimum` stops at 1e-7 by the bound of the curvature; where softmax saturates
    # the curvature is a hundredth of that and less.
    assert objective(found[:-1], found[-1]) == pytest.approx(least, abs=2e-5)


def test_the_penalty_is_that_of_the_least_loss_left_out():
    """By loops over folds, penalties and rows, fitted by scikit-learn."""
    x, y = rows(seed=3)
    group = np.repeat(np.arange(20), 3)
    y = y[group * 3]  # one class a group
    fitted = LinearProbe.fit(x, y, group)
    z = (x - x.mean(0)) / x.std(0)
    fold, lost = folds(y, group), dict.fromkeys(PENALTIES, 0.0)
    for one in range(FOLDS):
        kept = fold != one
        for penalty in PENALTIES:
            damped = LogisticRegression(C=1 / (penalty * kept.sum()), tol=1e-8)
            says = damped.fit(z[kept], y[kept]).predict_log_proba(z[~kept])
            for row, label in zip(says, y[~kept], strict=True):
                lost[penalty] -= row[label]
    assert fitted.penalty == min(lost, key=lost.get)
    assert fitted.penalty not in PENALTIES[[0, -1]]  # the case tells


def test_groups_are_never_parted_and_classes_are_dealt_out():
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(40) * 7, 5))
    column = (group // 7) % 4
    fold = folds(column, group)
    for one in np.unique(group):
        assert len(set(fold[group == one])) == 1
    for label in range(4):
        np.testing.assert_array_equal(np.bincount(fold[column == label]), [10] * FOLDS)


def test_a_leaking_group_does_not_weaken_the_penalty():
    """Rows of a group are copies: left out by themselves they would be known."""
    rng = np.random.default_rng(1)
    x = np.repeat(rng.normal(size=(24, 10)), 6, 0)
    y, group = np.repeat(rng.integers(0, 2, 24), 6), np.repeat(np.arange(24), 6)
    noise = x + 1e-3 * rng.normal(size=x.shape)
    assert LinearProbe.fit(noise, y, group).penalty in PENALTIES[:2]
    assert LinearProbe.fit(noise, y).penalty in PENALTIES[-2:]


def test_a_feature_that_hardly_moved_does_not_outweigh_the_others():
    """A thousandth in one of the rows seen, a whole unit elsewhere."""
    x, y = rows(200, classes=2)
    still = np.full((200, 1), 0.5)
    still[0] += 1e-3
    seen = np.concatenate([x, still], 1)
    elsewhere = np.concatenate([x, still + 1.0], 1)
    fitted = LinearProbe.fit(seen, y)
    np.testing.assert_array_equal(fitted.predict(elsewhere), fitted.predict(seen))


def test_a_row_of_each_class_takes_the_strongest_penalty():
    x, y = np.eye(3) * 4, np.int64([5, 7, 9])
    fitted = LinearProbe.fit(x, y)
    assert fitted.penalty == PENALTIES[0]
    np.testing.assert_array_equal(fitted.predict(x), y)
    same = LinearProbe.fit(np.ones((3, 2)), np.int64([1, 1, 1]))
    np.testing.assert_array_equal(same.predict(np.ones((1, 2))), [1])


def test_what_does_not_settle_is_said(monkeypatch):
    monkeypatch.setattr(linear_probe, "MOST_STEPS", 2)
    with pytest.raises(DataError, match="did not settle within 2 steps"):
        LinearProbe.fit(*rows())
