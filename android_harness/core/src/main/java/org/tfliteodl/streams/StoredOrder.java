package org.tfliteodl.streams;

import org.tfliteodl.DataException;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.host.Batch;
import org.tfliteodl.host.Source;

/**
 * Batches without end of a stream's rows as they are stored, from the first again after the last.
 *
 * <p>Rows are copied into the same two tensors for each batch.
 */
public final class StoredOrder implements Source {
  private final Tensor allX;
  private final Tensor allY;
  private final Tensor x;
  private final Tensor y;
  private final Batch batch;

  /**
   * @param x [N, ...] of one dtype
   * @param y [N, ...] labels, or null
   * @param batchSize rows of a batch; one may span the end and the begin
   * @throws DataException there are no rows, or x and y differ in number
   */
  public StoredOrder(Tensor x, Tensor y, int batchSize) {
    if (x.rank() == 0 || x.rows() == 0 || batchSize < 1) {
      throw new DataException("a stream needs rows and batches, got " + x + " by " + batchSize);
    }
    if (y != null && y.rows() != x.rows()) {
      throw new DataException(x.rows() + " rows of x, " + y.rows() + " of y");
    }
    this.allX = x;
    this.allY = y;
    this.x = like(x, batchSize);
    this.y = y == null ? null : like(y, batchSize);
    this.batch = y == null ? Batch.of(this.x) : Batch.of(this.x, this.y);
  }

  Tensor x() {
    return x;
  }

  Tensor y() {
    return y;
  }

  private static Tensor like(Tensor rows, int count) {
    int[] shape = rows.shape();
    shape[0] = count;
    return Tensor.zeros(rows.dtype(), shape);
  }

  @Override
  public Batch batch(long position) {
    int total = allX.rows();
    int from = (int) (position * x.rows() % total);
    int done = 0;
    while (done < x.rows()) {
      int rows = Math.min(x.rows() - done, total - from);
      x.copyRows(allX, from, done, rows);
      if (y != null) {
        y.copyRows(allY, from, done, rows);
      }
      done += rows;
      from = 0;
    }
    return batch;
  }
}
