package org.tfliteodl.bake;

/**
 * Sums in float32 over all axes but the channels', in NumPy's order of additions, so that a weight
 * falls on the same level here and there.
 *
 * <p>Where the last axis is summed, runs of it are added pairwise; everything else is added up one
 * after the other. Neighbouring axes that are all summed count as one.
 */
final class Sums {
  private static final int BLOCK = 128;
  private static final int LANES = 8;

  private Sums() {}

  /** Returns the sum of each channel. */
  static float[] of(float[] x, int[] shape, Channels channels) {
    float[] found = new float[channels.count(shape)];
    int[] of = channels.of(shape);
    int run = lastRun(shape, channels.own(shape));
    if (run == 1) {
      for (int i = 0; i < x.length; i++) {
        found[of[i]] += x[i];
      }
      return found;
    }
    for (int i = 0; i < x.length; i += run) {
      found[of[i]] += pairwise(x, i, run);
    }
    return found;
  }

  /** Returns how many neighbours at the end of the shape are summed together; 1: none. */
  private static int lastRun(int[] shape, boolean[] own) {
    int run = 1;
    // An axis of one element is neither summed nor kept.
    for (int axis = shape.length - 1; axis >= 0 && (!own[axis] || shape[axis] == 1); axis--) {
      run *= shape[axis];
    }
    return run;
  }

  private static float pairwise(float[] x, int from, int count) {
    if (count < LANES) {
      float sum = 0;
      for (int i = 0; i < count; i++) {
        sum += x[from + i];
      }
      return sum;
    }
    if (count > BLOCK) {
      int half = count / 2;
      half -= half % LANES;
      return pairwise(x, from, half) + pairwise(x, from + half, count - half);
    }
    float[] r = new float[LANES];
    int i = 0;
    for (; i < LANES; i++) {
      r[i] = x[from + i];
    }
    for (; i < count - count % LANES; i++) {
      r[i % LANES] += x[from + i];
    }
    float sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for (; i < count; i++) {
      sum += x[from + i];
    }
    return sum;
  }
}
