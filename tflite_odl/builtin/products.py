"""Matrix products as BATCH_MATMUL: the one product XNNPACK runs fast on variables.

FULLY_CONNECTED with dynamic weights leaves the XNNPACK partition and is slow; a
BatchMatMulV2 of rank 3 or 4 stays what it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tflite_odl.builtin.lazy import tf

# Rows of one group of a filter gradient: fewer make the products too small, more leave
# one long accumulation that loses precision and parallelism.
GROUP_ROWS = 256


def matmul(
    a: tf.Tensor, b: tf.Tensor, transpose_a: bool = False, transpose_b: bool = False
) -> tf.Tensor:
    """Returns the batched product, rank 3 or 4 each; leading axes of 1 are repeated."""
    return tf.raw_ops.BatchMatMulV2(x=a, y=b, adj_x=transpose_a, adj_y=transpose_b)


def grouped(a: tf.Tensor) -> tf.Tensor:
    """Returns the rows [..., K] in groups of whole images, [G, N, K], as both products
    below take them.

    XNNPACK copies what a RESHAPE reads or gives if it has another reader, too. What
    both products read is best grouped by the caller, once, and before it is joined.
    """
    rows = math.prod(a.shape[:-1])
    groups = groups_of(a.shape[0], rows)
    return tf.reshape(a, [groups, rows // groups, a.shape[-1]])


def rows_times(
    a: tf.Tensor,
    w: tf.Tensor,
    transpose_w: bool = False,
    image: Sequence[int] | None = None,
) -> tf.Tensor:
    """Returns a [..., K] times w [K, M] (or w [M, K] transposed), as [..., M] or, of
    grouped rows, as images [B, H, W, M] of the size given."""
    weights = tf.reshape(w, [1, *w.shape])
    product = matmul(grouped(a), weights, transpose_b=transpose_w)
    lead = a.shape[:-1]
    if image is not None:
        lead = [math.prod(lead) // math.prod(image), *image]
    return tf.reshape(product, [*lead, product.shape[-1]])


def filter_product(a: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    """Returns the sum over all rows of a^T d: [..., K], [..., M] -> [K, M].

    One product for each group, then their sum: that spreads over threads and keeps each
    accumulation short.
    """
    return group_sum(matmul(grouped(a), grouped(d), transpose_a=True))


def group_sum(products: tf.Tensor) -> tf.Tensor:
    """Returns the sum [K, M] of [G, K, M]."""
    if products.shape[0] == 1:
        return tf.reshape(products, products.shape[1:])
    return tf.reduce_sum(products, 0)


def groups_of(batch: int, rows: int) -> int:
    """Returns the largest divisor of the batch that leaves groups large enough."""
    wanted = max(1, rows // GROUP_ROWS)
    return max(g for g in range(1, batch + 1) if batch % g == 0 and g <= wanted)
