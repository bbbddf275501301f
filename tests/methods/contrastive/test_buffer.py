"""The buffer and its policies against lists and loops, over many steps."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.builtin import lite
from tflite_odl.errors import ModelError
from tflite_odl.methods.contrastive import buffer, policies
from tflite_odl.methods.contrastive.buffer import Slots
from tflite_odl.proof.references import replay

N, ROWS, SIZE = 7, 4, 3
FIELDS = ("item", "score", "arrival", "uses", "filled", "embedding")


def empty(count=N, dtype=np.uint8):
    return Slots(
        np.zeros((count, 2, 1), dtype),
        np.zeros(count, np.float32),
        np.zeros(count, np.int32),
        np.zeros(count, np.int32),
        np.zeros(count, np.float32),
        np.ones((count, SIZE), np.float32),
    )


def segment(step, rng, dtype):
    """New rows with many ties, some of them bad: NaN everywhere, as a broken sensor."""
    good = np.float32(rng.uniform(size=ROWS) < (0.5 if step % 3 else 1.0))
    rows = Slots(
        rng.integers(0, 256, (ROWS, 2, 1)).astype(dtype),
        np.float32(rng.integers(0, 3, ROWS) / 2),
        np.arange(ROWS, dtype=np.int32) + ROWS * step,
        rng.integers(0, 2, ROWS).astype(np.int32),
        good,
        np.float32(rng.normal(size=(ROWS, SIZE))),
    )
    bad = good == 0
    rows.score[bad], rows.embedding[bad] = np.nan, 0.0
    if dtype == np.float32:
        rows.item[bad] = np.nan
    return rows


def as_items(slots):
    parts = [np.asarray(getattr(slots, name)) for name in FIELDS]
    return [
        replay.Item(i, float(s), int(a), int(u), np.float64(e), f > 0)
        for i, s, a, u, f, e in zip(*parts)
    ]


def check(slots, items):
    """The slots hold the items in this order, and nothing bad anywhere."""
    for k, (got, item) in enumerate(zip(as_items(slots), items, strict=True)):
        assert got.filled == item.filled, k
        if item.filled:
            assert (got.arrival, got.uses) == (item.arrival, item.uses), k
            assert got.score == item.score, k
            np.testing.assert_array_equal(got.item, item.item)
    assert all(np.isfinite(np.asarray(getattr(slots, n))).all() for n in FIELDS)


def step(policy, slots, new, uniform):
    candidates = buffer.joined(slots, new)
    kept = policies.find(policy)(candidates, len(slots), uniform)
    return kept, buffer.taken(candidates, kept)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    "policy", ["top_score", "fifo", "reservoir", "random", "min_red"]
)
def test_keeps_what_loops_keep(policy, dtype):
    rng = np.random.default_rng(1)
    slots = empty(dtype=dtype)
    items = as_items(slots)
    for number in range(25):
        new = segment(number, rng, dtype)
        uniform = np.float32(rng.integers(0, 5, N + ROWS) / 8)
        candidates = [*items, *as_items(new)]
        items = replay.selected(policy, candidates, N, uniform, [])
        _, slots = step(policy, slots, new, uniform)
        check(slots, items)
        drawn = buffer.draw(tf.constant(slots.filled), rng.uniform(size=N), 3)
        slots = buffer.used(slots, drawn)
        for place in np.asarray(drawn.places)[np.asarray(drawn.mask) > 0]:
            items[place].uses += 1


@pytest.mark.parametrize("policy", ["top_score", "min_red"])
def test_both_runtimes_equal_tensorflow(policy):
    rng = np.random.default_rng(2)

    def run(uniform, **tensors):
        slots, new = (
            Slots(*(tensors[f"{part}_{name}"] for name in FIELDS))
            for part in ("old", "new")
        )
        kept, after = step(policy, slots, new, uniform)
        drawn = buffer.draw(after.filled, uniform[:N], 3)
        after = buffer.used(after, drawn)
        moved = buffer.moved(after.score, tf.ones([3]) * 4.0, drawn, 0.5)
        outputs = {name: getattr(after, name) for name in FIELDS}
        outputs |= {"kept": kept, "places": drawn.places, "mask": drawn.mask}
        counted = buffer.replaced(kept, after.filled)
        return outputs | {"moved": moved, "replaced": counted}

    slots, calls, expected = empty(), [], []
    for number in range(6):
        new = segment(number, rng, np.uint8)
        inputs = {"uniform": np.float32(rng.integers(0, 5, N + ROWS) / 8)}
        inputs |= {f"old_{n}": np.asarray(getattr(slots, n)) for n in FIELDS}
        inputs |= {f"new_{n}": getattr(new, n) for n in FIELDS}
        outputs = run(**{n: tf.constant(v) for n, v in inputs.items()})
        calls.append(inputs)
        expected.append(outputs)
        slots = Slots(*(outputs[name] for name in FIELDS))
    for number, (want, got) in enumerate(zip(expected, lite.both(run, *calls))):
        for name, value in want.items():
            np.testing.assert_array_equal(got[name], value, f"{name}, step {number}")


def test_draw_takes_filled_slots_only_and_each_once():
    filled = tf.constant([1, 0, 1, 1, 0], tf.float32)
    drawn = buffer.draw(filled, tf.constant([0.0, 0.9, 0.5, 0.5, 0.8]), 4)
    np.testing.assert_array_equal(drawn.places[:3], [2, 3, 0])
    np.testing.assert_array_equal(drawn.mask, [1, 1, 1, 0])
    assert len(set(drawn.places.numpy())) == 4
    nothing = buffer.draw(filled * 0, tf.constant([0.1, 0.9, 0.5, 0.5, 0.8]), 2)
    np.testing.assert_array_equal(nothing.mask, [0, 0])
    for count in (0, 6):
        with pytest.raises(ModelError, match=f"{count} items cannot be drawn from 5"):
            buffer.draw(filled, tf.zeros([5]), count)


def test_draw_by_score_follows_the_scores():
    rng, hits = np.random.default_rng(0), np.zeros(3)
    score, filled = tf.constant([1.0, 3.0, 9.0, 5.0]), tf.constant([1.0, 1, 1, 0])
    runs = 600
    for _ in range(runs):
        uniform = tf.constant(rng.uniform(size=4), tf.float32)
        hits[buffer.draw_by_score(score, filled, uniform, 1).places.numpy()[0]] += 1
    expected = np.array([1, 3, 9]) / 13
    deviation = np.sqrt(expected * (1 - expected) / runs)
    assert (np.abs(hits / runs - expected) < 4.5 * deviation).all()  # 4.5 sigma


def test_drawn_scores_and_embeddings_move_by_rho():
    drawn = buffer.Draw(tf.constant([2, 0, 1]), tf.constant([1.0, 1.0, 0.0]))
    old, fresh = tf.constant([1.0, 2.0, 3.0, 4.0]), tf.constant([5.0, 7.0, 9.0])
    moved = buffer.moved(old, fresh, drawn, 0.75)
    np.testing.assert_allclose(moved, [2.5, 2, 3.5, 4])  # exact quarters
    wide = buffer.moved(
        old[:, None] * [[1.0, 2.0]], fresh[:, None] * [[1.0, 0.0]], drawn, 0
    )
    np.testing.assert_allclose(wide, [[7, 0], [2, 4], [5, 0], [4, 8]])  # whole numbers


def test_lazy_scores_are_renewed_where_due_and_filled():
    slots = empty(2).map(tf.constant)
    slots = dataclasses.replace(slots, filled=tf.constant([1.0, 0.0]))
    for due, expected in ((1.0, [5, 0]), (0.0, [0, 0])):
        found = buffer.rescored(slots, tf.constant([5.0, 6.0]), tf.constant([due]))
        np.testing.assert_array_equal(found.score, expected)


def test_replaced_counts_new_rows_that_took_a_slot():
    found = buffer.replaced(tf.constant([0, 4, 5, 1]), tf.constant([1.0, 1, 1, 0]))
    np.testing.assert_array_equal(found, [2])


def test_none_has_no_selection_and_slots_must_agree():
    with pytest.raises(ModelError, match="policy 'none' is not one of"):
        policies.find("none")
    bare = dataclasses.replace(empty(), embedding=None)
    assert buffer.joined(bare, bare).embedding is None
    with pytest.raises(ModelError, match="some of the slots have embedding"):
        buffer.joined(empty(), bare)
