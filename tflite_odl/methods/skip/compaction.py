"""Kept rows packed into the smallest batch that holds them: the time that is saved."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from tflite_odl.builtin import tape
from tflite_odl.builtin.graph import Graph
from tflite_odl.builtin.lowering import Rows
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


def shared(record: Tape, rows: tf.Tensor | None, kept: Rows) -> Tape:
    """Returns the record of some rows, with what is dear taken from the whole batch's.

    What layers of products put out is gathered, as is what frozen layers pass on; the
    cheap layers between are run again, for this is faster than to keep their outputs,
    too.

    Args:
      record: of the whole batch.
      rows: [K] int32; None takes all.
      kept: which of these take part, and what means over them are divided by.
    """
    return _again(record, rows, kept, dear(record.graph, record.run.wants))


def recompute(record: Tape, rows: tf.Tensor | None, kept: Rows) -> Tape:
    """Returns the same record with everything run again: less to keep, more to do."""
    return _again(record, rows, kept, {n.name for n in record.graph.inputs})


def dear(graph: Graph, wants: frozenset[str]) -> set[str]:
    """Returns the nodes whose outputs are kept: products', and where gradients end."""
    read = {name for n in graph.nodes if n.name in wants for name in n.inputs}
    products = {
        node.name
        for node in graph.nodes
        if any(graph.weights[name].ndim > 1 for name in node.weights.values())
    }
    return read & products | read - wants


def _again(record: Tape, rows: tf.Tensor | None, kept: Rows, given: set[str]) -> Tape:
    """Returns the record of some rows, forwarded from the outputs of `given` nodes.

    Batch norms take the statistics of the whole batch.
    """
    run = dataclasses.replace(
        record.run, rows=kept, statistics=record.statistics, places=rows
    )
    # In the graph's order: a set's differs between processes, and with it the file.
    names = [node.name for node in record.graph.nodes if node.name in given]
    values = {name: record.values[name] for name in names}
    if rows is not None:
        values = {name: [tf.gather(record.value(name), rows)] for name in names}
    where = (record.graph, record.plan, record.weights)
    return tape.resume(*where, values, run, record.limit)


FORWARDS = {"shared": shared, "recompute": recompute}


def backward(
    record_of: Callable[[tf.Tensor | None, tf.Tensor], Tape],
    gradient: tf.Tensor,
    kept: tf.Tensor,
    sizes: Sequence[int],
    nothing: Callable[[], Gradients],
) -> Gradients:
    """Returns the weights' gradients, computed in the smallest batch that fits.

    A chain of IFs, the largest branch first: one for each size, then nothing kept.

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

    empty = lambda: list(nothing().values())  # noqa: E731
    found = empty
    for smaller, size in zip([0, *sizes], sizes):
        found = functools.partial(
            tf.cond, count > float(smaller), functools.partial(branch, size), found
        )
    found = found()
    return dict(zip(names, found, strict=True))
