"""Cutting a batch into chunks whose activations stay in the cache.

The runtime runs op after op over all rows: where an activation does not fit into the
cache, each of them fetches it from memory again. So large layers run chunk by chunk.
What needs the whole batch, a batch norm's statistics, is put together in between: the
step stays the same.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.space import cut, joined

# More chunks than these make more ops than they save time.
MOST = 16
# Of all layers together, runs beyond one each: 30 to 40 ops and .1 s of export a run.
MOST_EXTRA = 400
# Ops of many steps, which all stand in the graph: once is enough.
WHOLE = ("lstm", "gru", "simple_rnn")


def counts(graph: Graph, batch: int, limit: float) -> dict[str, int]:
    """Returns {node name: number of chunks}, a multiple of that of each reader; 1 of
    ops in WHOLE.

    The fewest for which no activation a node reads or makes is above the limit; where
    MOST are not enough, as few as its readers allow. The limit is doubled until there
    are no more than MOST_EXTRA chunks beyond one for each node.

    Args:
      graph: the model.
      batch: number of rows.
      limit: bytes of a chunk; 0 sets none.
    """
    found = _counts(graph, batch, limit)
    while sum(found.values()) - len(found) > MOST_EXTRA:
        limit *= 2
        found = _counts(graph, batch, limit)
    return found


def _counts(graph: Graph, batch: int, limit: float) -> dict[str, int]:
    steps = [step for step in _nested(batch) if step <= MOST]
    found: dict[str, int] = {}
    for node in graph.nodes:
        row = _row_bytes(graph, node)
        fitting = (step for step in steps if batch // step * row <= limit)
        found[node.name] = next(fitting, 1) if limit else 1
    for node in reversed(graph.nodes):
        for name in node.inputs:
            found[name] = max(found[name], found[node.name])
    return {
        n.name: 1 if n.op.split("@")[0] in WHOLE else found[n.name] for n in graph.nodes
    }


def fitted(parts: Sequence[tf.Tensor], count: int) -> list[tf.Tensor]:
    """Returns equal chunks of a batch as another number of chunks.

    One of the numbers is a multiple of the other.
    """
    if count <= len(parts):
        size = len(parts) // count
        return [joined(parts[at : at + size], 0) for at in range(0, len(parts), size)]
    pieces = count // len(parts)
    rows = parts[0].shape[0] // pieces
    return [cut(part, 0, at * rows, rows) for part in parts for at in range(pieces)]


def passes(run: Pass, count: int) -> list[Pass]:
    """Returns the pass of each chunk: its rows, counted in the whole batch."""
    if count == 1:
        return [run]
    places = run.places
    if places is None:
        places = tf.range(run.rows.mask.shape[0])
    return [
        dataclasses.replace(run, rows=Rows(mask, run.rows.count), places=at)
        for mask, at in zip(fitted([run.rows.mask], count), fitted([places], count))
    ]


def _nested(batch: int) -> list[int]:
    """Returns divisors of the batch, ascending, each a multiple of the one before."""
    found, rest, prime = [1], batch, 2
    while rest > 1:
        if rest % prime:
            prime += 1
        else:
            rest //= prime
            found.append(found[-1] * prime)
    return found


def _row_bytes(graph: Graph, node: Node) -> int:
    """Returns the size of the largest activation a node reads or makes, in one row."""
    return max(math.prod(s) for s in (node.shape, *graph.input_shapes(node))) * 4
