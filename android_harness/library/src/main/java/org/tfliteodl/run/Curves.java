package org.tfliteodl.run;

import org.tfliteodl.contract.Json;

/**
 * Loss and accuracy over a run's batches, smoothed, in a bounded number of points: of a long run
 * every other point is left out, again and again.
 *
 * <p>One thread adds, another one draws.
 */
public final class Curves {
  /** Points at most. */
  public static final int MOST = 512;

  private static final float SMOOTHED = 0.1f;

  private final float[] losses = new float[MOST];
  private final float[] accuracies = new float[MOST];
  private int count;
  private int stride = 1;
  private long seen;
  private float loss = Float.NaN;
  private float accuracy = Float.NaN;

  public synchronized void clear() {
    count = 0;
    stride = 1;
    seen = 0;
    loss = Float.NaN;
    accuracy = Float.NaN;
  }

  /** Takes a batch's record, a JSON object; accuracy is of the batch before it was learned. */
  public synchronized void add(String record) {
    Json values = Json.parse(record);
    float rows = number(values, "count");
    loss = smoothed(loss, number(values, "loss"));
    accuracy = smoothed(accuracy, rows > 0 ? number(values, "correct") / rows : Float.NaN);
    if (seen++ % stride != 0) {
      return;
    }
    if (count == MOST) {
      halve(losses);
      halve(accuracies);
      count /= 2;
      stride *= 2;
    }
    losses[count] = loss;
    accuracies[count++] = accuracy;
  }

  /**
   * Copies the points, NaN where nothing was told.
   *
   * @param toLosses [MOST]
   * @param toAccuracies [MOST]
   * @return how many there are
   */
  public synchronized int copy(float[] toLosses, float[] toAccuracies) {
    System.arraycopy(losses, 0, toLosses, 0, count);
    System.arraycopy(accuracies, 0, toAccuracies, 0, count);
    return count;
  }

  /** Returns the smoothed loss; NaN: none was told. */
  public synchronized float loss() {
    return loss;
  }

  /** Returns the smoothed accuracy; NaN: none was told. */
  public synchronized float accuracy() {
    return accuracy;
  }

  private static float number(Json values, String name) {
    Json found = values.find(name);
    return found == null || !found.isNumber() ? Float.NaN : (float) found.number();
  }

  private static float smoothed(float mean, float value) {
    if (Float.isNaN(value)) {
      return mean;
    }
    return Float.isNaN(mean) ? value : mean + SMOOTHED * (value - mean);
  }

  private static void halve(float[] values) {
    for (int i = 0; i < values.length / 2; i++) {
      values[i] = values[2 * i];
    }
  }
}
