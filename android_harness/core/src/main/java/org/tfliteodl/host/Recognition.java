package org.tfliteodl.host;

/** What enrolled rows say of others. */
public final class Recognition {
  private final int[] labels;
  private final float[] similarities;

  Recognition(int[] labels, float[] similarities) {
    this.labels = labels;
    this.similarities = similarities;
  }

  /** Returns the class of each row, -1 where nothing is enrolled. */
  public int[] labels() {
    return labels.clone();
  }

  /** Returns how similar each row is to the enrolled row that decided. */
  public float[] similarities() {
    return similarities.clone();
  }
}
