package org.tfliteodl.run;

import org.tfliteodl.ContractException;
import org.tfliteodl.contract.Dtype;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;
import org.tfliteodl.host.Batch;
import org.tfliteodl.host.Source;

/**
 * Windows of what an accelerometer and a gyroscope measure, at a steady rate, as batches.
 *
 * <p>Either sensor reports when it likes; values in between are interpolated on a grid of equal
 * times. A window is [T, 6] float32: acceleration along x, y, z in m/s^2, then rotation in rad/s,
 * and begins a hop after the one before. Windows that nobody takes in time are lost, the oldest
 * first, and counted.
 */
public final class Windows implements Source {
  /** The two sensors. */
  public enum Sensor {
    ACCELEROMETER,
    GYROSCOPE
  }

  private static final int AXES = 3;
  private static final int CHANNELS = 2 * AXES;
  // Seconds without a sample after which a window is begun anew.
  private static final double LONGEST_GAP = 0.5;

  private final int length;
  private final int hop;
  private final double step;
  private final int queued;
  private final int label;
  private final Tensor x;
  private final Tensor y;
  private final Batch batch;

  private final double[] lastTime = {Double.NaN, Double.NaN};
  private final float[][] lastValue = new float[2][AXES];
  private final long[] filled = new long[2];
  private double begin = Double.NaN;
  private final float[] ring;
  private final float[][] waiting;
  private int first;
  private int count;
  private long next;
  private long lost;
  private boolean closed;

  /**
   * @param train the signature that is fed: one feature [B, T, 6] float32; labels [B] int32 or none
   * @param hz samples a second of the grid
   * @param hop samples between the begins of two windows
   * @param queued windows that wait at most
   * @param label of all rows; -1: unlabelled
   * @throws ContractException the signature takes something else
   */
  public Windows(Signature train, double hz, int hop, int queued, int label) {
    TensorSpec spec = fitting(train);
    length = spec.size(1);
    if (hz <= 0 || hop < 1 || queued < spec.size(0)) {
      throw new ContractException(
          "windows need a rate and a hop above 0 and a queue of a batch, got " + hz + ", " + hop
              + ", " + queued);
    }
    this.hop = hop;
    this.step = 1 / hz;
    this.queued = queued;
    this.label = label;
    x = Tensor.zeros(Dtype.FLOAT32, spec.shape());
    y = train.inputsOf(Names.LABEL).isEmpty() ? null : Tensor.zeros(Dtype.INT32, spec.size(0));
    batch = y == null ? Batch.of(x) : Batch.of(x, y);
    ring = new float[4 * length * CHANNELS];
    waiting = new float[queued][length * CHANNELS];
  }

  Tensor x() {
    return x;
  }

  Tensor y() {
    return y;
  }

  private static TensorSpec fitting(Signature train) {
    TensorSpec found = train.inputs().get(0);
    boolean fits =
        train.inputsOf(Names.FEATURE).size() == 1
            && found.rank() == 3
            && found.size(2) == CHANNELS
            && found.dtype() == Dtype.FLOAT32;
    if (!fits) {
      throw new ContractException(
          "accelerometer and gyroscope give [B, T, 6] float32, train takes " + found);
    }
    return found;
  }

  /**
   * Takes a sample.
   *
   * @param sensor which
   * @param seconds when it was taken, on a clock that both share; one before the last is left out
   * @param values along x, y, z
   */
  public synchronized void add(Sensor sensor, double seconds, float[] values) {
    int which = sensor.ordinal();
    double before = lastTime[which];
    if (seconds <= before) {
      return;
    }
    if (seconds - before > LONGEST_GAP) {
      begin = Double.NaN;
    }
    if (Double.isNaN(begin) || Double.isNaN(before)) {
      remember(which, seconds, values);
      restart();
      return;
    }
    fill(which, before, seconds, values);
    remember(which, seconds, values);
    cut();
  }

  private void remember(int which, double seconds, float[] values) {
    lastTime[which] = seconds;
    System.arraycopy(values, 0, lastValue[which], 0, AXES);
  }

  /** Begins the grid where both sensors have said something. */
  private void restart() {
    if (Double.isNaN(lastTime[0]) || Double.isNaN(lastTime[1])) {
      return;
    }
    begin = Math.max(lastTime[0], lastTime[1]);
    next = 0;
    filled[0] = 0;
    filled[1] = 0;
  }

  /** Interpolates a sensor's channels at the grid's times up to a sample. */
  private void fill(int which, double before, double seconds, float[] values) {
    long other = filled[1 - which];
    for (double at = begin + filled[which] * step; at <= seconds; at += step) {
      if (filled[which] - Math.min(other, next) >= ring.length / CHANNELS) {
        begin = Double.NaN; // the other sensor is silent
        lastTime[1 - which] = Double.NaN;
        return;
      }
      float share = (float) ((at - before) / (seconds - before));
      int place = (int) (filled[which] % (ring.length / CHANNELS)) * CHANNELS + which * AXES;
      for (int axis = 0; axis < AXES; axis++) {
        float from = lastValue[which][axis];
        ring[place + axis] = from + share * (values[axis] - from);
      }
      filled[which]++;
    }
  }

  private void cut() {
    while (Math.min(filled[0], filled[1]) - next >= length) {
      float[] window = waiting[(first + count) % queued];
      for (int t = 0; t < length; t++) {
        int place = (int) ((next + t) % (ring.length / CHANNELS)) * CHANNELS;
        System.arraycopy(ring, place, window, t * CHANNELS, CHANNELS);
      }
      next += hop;
      if (count == queued) {
        first = (first + 1) % queued;
        lost++;
      } else {
        count++;
      }
      notifyAll();
    }
  }

  /** Returns how many windows nobody took in time. */
  public synchronized long lost() {
    return lost;
  }

  /** Ends the stream: who waits for a batch is given none. */
  public synchronized void close() {
    closed = true;
    notifyAll();
  }

  /** Waits for as many windows as a batch has; returns null once closed. */
  @Override
  public synchronized Batch batch(long position) {
    while (count < x.rows() && !closed) {
      try {
        wait();
      } catch (InterruptedException error) {
        Thread.currentThread().interrupt();
        closed = true;
      }
    }
    if (count < x.rows()) {
      return null;
    }
    for (int row = 0; row < x.rows(); row++) {
      put(row, waiting[first]);
      first = (first + 1) % queued;
      count--;
    }
    return batch;
  }

  private void put(int row, float[] window) {
    for (int i = 0; i < window.length; i++) {
      x.set(row * window.length + i, window[i]);
    }
    if (y != null) {
      y.set(row, label);
    }
  }
}
