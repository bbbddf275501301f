"""Matrix products as BATCH_MATMUL: the one product XNNPACK runs fast on variables.

FULLY_CONNECTED with dynamic weights leaves the XNNPACK partition and is slow; a rank-3
BatchMatMulV2 stays what it is.
"""

from __future__ import annotations

import math

import tensorflow as tf

# Rows of one group of a filter gradient: fewer make the products too small, more leave
# one long accumulation that loses precision and parallelism.
GROUP_ROWS = 256


def matmul(
    a: tf.Tensor, b: tf.Tensor, transpose_a: bool = False, transpose_b: bool = False
) -> tf.Tensor:
    """Returns the batched product of a [G, ...] and b [G, ...], rank 3 each."""
    return tf.raw_ops.BatchMatMulV2(x=a, y=b, adj_x=transpose_a, adj_y=transpose_b)


def rows_times(a: tf.Tensor, w: tf.Tensor, transpose_w: bool = False) -> tf.Tensor:
    """Returns a [..., K] times w [K, M] (or w [M, K] transposed), as [..., M]."""
    lead, k = a.shape[:-1], a.shape[-1]
    flat = tf.reshape(a, [1, math.prod(lead), k])
    product = matmul(flat, tf.reshape(w, [1, *w.shape]), transpose_b=transpose_w)
    return tf.reshape(product, [*lead, product.shape[-1]])


def filter_product(a: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    """Returns the sum over all rows of a^T d: [..., K], [..., M] -> [K, M].

    The rows are taken in groups of whole images, one product each, then summed: that
    spreads over threads and keeps each accumulation short.
    """
    rows = math.prod(a.shape[:-1])
    groups = _groups(a.shape[0], rows)
    a = tf.reshape(a, [groups, rows // groups, a.shape[-1]])
    d = tf.reshape(d, [groups, rows // groups, d.shape[-1]])
    product = matmul(a, d, transpose_a=True)
    if groups == 1:
        return tf.reshape(product, product.shape[1:])
    return tf.reduce_sum(product, 0)


def _groups(batch: int, rows: int) -> int:
    """Returns the largest divisor of the batch that leaves groups large enough."""
    wanted = max(1, rows // GROUP_ROWS)
    return max(g for g in range(1, batch + 1) if batch % g == 0 and g <= wanted)
