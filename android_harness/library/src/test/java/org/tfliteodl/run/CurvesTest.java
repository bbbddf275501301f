package org.tfliteodl.run;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

/** Curves of runs of any length have a bounded number of points, in order. */
public class CurvesTest {
  private final float[] losses = new float[Curves.MOST];
  private final float[] accuracies = new float[Curves.MOST];

  @Test
  public void aLongRunIsThinnedOut() {
    Curves curves = new Curves();
    for (int i = 0; i < 5000; i++) {
      curves.add("{\"loss\": " + i + ", \"correct\": 1, \"count\": 4}");
    }
    int count = curves.copy(losses, accuracies);
    assertTrue("" + count, count > Curves.MOST / 2 && count <= Curves.MOST);
    for (int i = 1; i < count; i++) {
      assertTrue(losses[i] > losses[i - 1]);
    }
    assertEquals(0, losses[0], 0);
    // The smoothed loss lags 1 / SMOOTHED - 1 = 9 batches behind.
    assertEquals(4999 - 9, curves.loss(), 0.1);
    assertEquals(0.25, curves.accuracy(), 1e-6);
    curves.clear();
    assertEquals(0, curves.copy(losses, accuracies));
  }

  @Test
  public void whatIsNotToldIsNotDrawn() {
    Curves curves = new Curves();
    curves.add("{\"loss\": null, \"count\": 0, \"correct\": 0}");
    assertEquals(1, curves.copy(losses, accuracies));
    assertTrue(Float.isNaN(losses[0]) && Float.isNaN(accuracies[0]));
    curves.add("{\"loss\": 2}");
    assertEquals(2, curves.loss(), 0);
  }
}
