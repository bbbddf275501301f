package org.tfliteodl.bake;

/** The arithmetic of int8: in double, halves away from zero. */
final class Quantizing {
  static final int WEIGHT_STEPS = 127;

  private static final int STEPS = 255;
  // The smallest range of a weight, and of an activation.
  private static final double LEAST = 1e-6;
  private static final double LEAST_ACTIVATION = 1e-3;
  // Half of what int32, in which biases are held, reaches.
  private static final double MOST_BIAS = 1 << 30;

  private Quantizing() {}

  /** Returns the range with 0 in it, not too small, moved so that 0 is one of its 256 values. */
  static double[] nudged(double low, double high) {
    double below0 = Math.min(low, 0);
    double above0 = Math.max(Math.max(high, 0), below0 + LEAST_ACTIVATION);
    double step = (above0 - below0) / STEPS;
    double below = Math.floor(-below0 / step + 0.5);
    return new double[] {-below * step, (STEPS - below) * step};
  }

  /** Returns the step of a nudged range, whose ends are held in float32. */
  static double step(double[] range) {
    return ((double) (float) range[1] - (double) (float) range[0]) / STEPS;
  }

  /** Returns its zero point. */
  static long zeroPoint(double[] range) {
    return (long) Math.floor(-(double) (float) range[0] / step(range) + 0.5) - 128;
  }

  /** Returns a number rounded, halves away from zero. */
  static double away(double x) {
    double moved = x + Math.copySign(0.5, x);
    return moved < 0 ? Math.ceil(moved) : Math.floor(moved);
  }

  /**
   * Returns the largest absolute value that each scale must reach.
   *
   * @param bias [C], or null; where weights are next to nothing they get a wider range, so that the
   *     bias is not clipped
   * @param channels what the scales run over; empty: one for all
   * @param step of the input
   */
  static float[] highs(Floats kernel, Floats bias, Channels channels, double step) {
    double[] high = new double[channels.count(kernel.shape)];
    int[] of = channels.of(kernel.shape);
    for (int i = 0; i < kernel.data.length; i++) {
      high[of[i]] = Math.max(high[of[i]], Math.abs(kernel.data[i]));
    }
    for (int i = 0; bias != null && i < bias.data.length; i++) {
      double need = WEIGHT_STEPS * Math.abs((double) bias.data[i]) / (step * MOST_BIAS);
      int at = channels.isEmpty() ? 0 : i;
      high[at] = Math.max(high[at], need);
    }
    float[] found = new float[high.length];
    for (int i = 0; i < found.length; i++) {
      found[i] = (float) Math.max(high[i], LEAST);
    }
    return found;
  }

  /** Returns scales that reach so far in so many steps. */
  static double[] scales(float[] highs, double steps) {
    double[] found = new double[highs.length];
    for (int i = 0; i < found.length; i++) {
      found[i] = (double) highs[i] / steps;
    }
    return found;
  }

  /** Returns a kernel in whole steps of its channels' scales. */
  static byte[] steps(Floats kernel, Channels channels, double[] scales, int most) {
    int[] of = channels.of(kernel.shape);
    byte[] found = new byte[kernel.data.length];
    for (int i = 0; i < found.length; i++) {
      double value = away((double) kernel.data[i] / scales[of[i]]);
      found[i] = (byte) Math.max(-most, Math.min(most, value));
    }
    return found;
  }

  /** Returns int8 values as bytes of several each, the first of each byte lowest. */
  static byte[] packed(byte[] values, int bits) {
    int each = 8 / bits;
    byte[] found = new byte[(values.length + each - 1) / each];
    for (int i = 0; i < values.length; i++) {
      found[i / each] |= (byte) ((values[i] & ((1 << bits) - 1)) << (i % each * bits));
    }
    return found;
  }
}
