"""Kept rows packed into the smallest batch that holds them: the time that is saved."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf

from tflite_odl.builtin import tape
from tflite_odl.builtin.lowering import Residual, Rows
from tflite_odl.builtin.tape import Tape

Gradients = dict[str, tf.Tensor]


def order(kept: tf.Tensor) -> tf.Tensor:
    """Returns [B] int32: the indices of the kept rows, then those of the others.

    Both in ascending order, for no two rows have the same key.

    Args:
      kept: [B] float32, 0 or 1.
    """
    size = kept.shape[0]
    key = kept * float(size) + tf.range(size - 1, -1, -1, dtype=tf.float32)
    return tf.math.top_k(key, size).indices


def gathered(record: Tape, rows: tf.Tensor | None, kept: Rows) -> Tape:
    """Returns the record of some rows only, to run backward from: `shared`.

    Batch norms keep the statistics of the whole batch.

    Args:
      record: of the whole batch.
      rows: [K] int32; None takes all.
      kept: which of these take part, and what means over them are divided by.
    """
    found: dict = {}

    def pick(tensor: tf.Tensor) -> tf.Tensor:
        if tensor.ref() not in found:
            found[tensor.ref()] = tensor if rows is None else tf.gather(tensor, rows)
        return found[tensor.ref()]

    residuals = {
        name: Residual({k: pick(t) for k, t in r.rows.items()}, r.shared)
        for name, r in record.residuals.items()
    }
    run = dataclasses.replace(record.run, rows=kept)
    zeros = (record.zeros[0], {})
    return dataclasses.replace(record, residuals=residuals, run=run, zeros=zeros)


def recomputed(
    record: Tape, x: Sequence[tf.Tensor], rows: tf.Tensor | None, kept: Rows
) -> Tape:
    """Returns the record of some rows, forwarded again: `recompute`.

    The same as `gathered` but for memory and time: batch norms take the statistics of
    the whole batch, found by the record.

    Args:
      record: of the whole batch.
      x: its inputs, each [B, ...] float32.
      rows: [K] int32; None takes all.
      kept: as for `gathered`.
    """
    found = record.residuals.items()
    run = dataclasses.replace(
        record.run,
        rows=kept,
        statistics={name: r.shared for name, r in found if "mean" in r.shared},
        places=rows,
    )
    picked = list(x) if rows is None else [tf.gather(one, rows) for one in x]
    return tape.forward(record.graph, record.plan, record.weights, picked, run)


def backward(
    record_of: Callable[[tf.Tensor | None, tf.Tensor], Tape],
    gradient: tf.Tensor,
    kept: tf.Tensor,
    sizes: Sequence[int],
    nothing: Callable[[], Gradients],
) -> Gradients:
    """Returns the weights' gradients, computed in the smallest batch that fits.

    A chain of IFs: nothing kept, then one branch for each size.

    Args:
      record_of: (rows [K] or None, kept [K]) -> the record to run backward from.
      gradient: [B, ...], of the loss with respect to the output, 0 where skipped.
      kept: [B] float32, 0 or 1.
      sizes: ascending; the last is B.
      nothing: gradients where no row is kept.
    """
    count, first = tf.reduce_sum(kept), order(kept)
    names = list(nothing())

    def branch(size: int) -> list[tf.Tensor]:
        if size == kept.shape[0]:
            found = record_of(None, kept).backward(gradient)
        else:
            rows = first[:size]
            record = record_of(rows, tf.gather(kept, rows))
            found = record.backward(tf.gather(gradient, rows))
        return [found[name] for name in names]

    def chain(sizes: Sequence[int]) -> list[tf.Tensor]:
        if len(sizes) == 1:
            return branch(sizes[0])
        return tf.cond(
            count <= float(sizes[0]),
            lambda: branch(sizes[0]),
            lambda: chain(sizes[1:]),
        )

    empty = lambda: list(nothing().values())  # noqa: E731
    found = tf.cond(count < 0.5, empty, lambda: chain(sizes))
    return dict(zip(names, found, strict=True))
