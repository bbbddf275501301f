package org.tfliteodl.run;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.Test;
import org.tfliteodl.ContractException;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;

/** What the sensors measure comes out on an even grid, in order, whole or not at all. */
public class WindowsTest {
  private static final double HZ = 50;

  /** Returns train with x [2, 4, channels] of a dtype, y [2] and count. */
  private static Signature train(int channels, String dtype) {
    String text =
        "{\"artifact_id\": \"" + "0" + "\", \"contract_version\": 2, \"method\": {\"name\": \"m\"},"
            + " \"state\": [], \"signatures\": {\"train\": {\"inputs\": ["
            + "{\"name\": \"x\", \"dtype\": \"" + dtype + "\", \"shape\": [2, 4, " + channels
            + "], \"role\": \"feature\"}, {\"name\": \"y\", \"dtype\": \"int32\", \"shape\": [2],"
            + " \"role\": \"label\", \"fill\": -1}], \"outputs\": []}}}";
    byte[] content = text.getBytes(java.nio.charset.StandardCharsets.UTF_8);
    return org.tfliteodl.contract.Manifest.parse(content).signature("train");
  }

  private static Windows windows() {
    return new Windows(train(6, "float32"), HZ, 2, 4, 7);
  }

  private static Tensor next(Windows windows) {
    windows.batch(0);
    return windows.x();
  }

  /** Adds samples of both sensors whose values are linear in time, at rates of their own. */
  private static void feed(Windows windows, double from, double to) {
    for (double at = from; at < to; at += 0.001) {
      long ms = Math.round(at * 1000);
      float value = (float) at;
      if (ms % 7 == 0) {
        windows.add(
            Windows.Sensor.ACCELEROMETER, at, new float[] {value, 2 * value, 3 * value});
      }
      if (ms % 11 == 0) {
        windows.add(Windows.Sensor.GYROSCOPE, at, new float[] {-value, 5 + value, 0});
      }
    }
  }

  @Test
  public void linearSignalsAreInterpolatedExactly() {
    Windows windows = windows();
    feed(windows, 0.001, 0.3);
    Tensor x = next(windows);
    double begin = x.get(0);
    for (int row = 0; row < 2; row++) {
      for (int t = 0; t < 4; t++) {
        double at = begin + (2 * row + t) / HZ; // a hop of two samples between the windows
        double[] expected = {at, 2 * at, 3 * at, -at, 5 + at, 0};
        for (int c = 0; c < 6; c++) {
          // float32 of values up to 6, interpolated
          assertEquals(expected[c], x.get((row * 4 + t) * 6 + c), 2e-6);
        }
      }
    }
    assertEquals(7, windows.y().getInt(1));
  }

  @Test
  public void windowsThatNobodyTakesAreCounted() {
    Windows windows = windows();
    feed(windows, 0.001, 1);
    long made = windows.lost() + 4;
    // 0.98 s of grid after the first samples: 1 + (49 - 4) / 2 windows, one more or less
    assertEquals(23, made, 1);
    double first = next(windows).get(0);
    assertEquals(0.011 + 2 * windows.lost() / HZ, first, 1e-5);
  }

  @Test
  public void aGapBeginsAnew() {
    Windows windows = windows();
    feed(windows, 0.001, 0.2);
    feed(windows, 1.2, 1.5);
    List<Double> begins = new ArrayList<>();
    for (int i = 0; i < 2; i++) {
      Tensor x = next(windows);
      begins.add(x.get(0));
      begins.add(x.get(24));
    }
    for (double begin : begins) {
      boolean before = begin + 3 / HZ < 0.2;
      assertEquals("no window spans the gap: " + begins, !before, begin > 1.19);
    }
  }

  @Test
  public void aSilentSensorFillsNoMemory() {
    Windows windows = windows();
    feed(windows, 0.001, 0.03);
    for (int i = 0; i < 100000; i++) {
      windows.add(Windows.Sensor.ACCELEROMETER, 0.03 + i * 0.01, new float[3]);
    }
    windows.close();
    assertNull(windows.batch(0));
  }

  @Test
  public void timeDoesNotRunBack() {
    Windows windows = windows();
    feed(windows, 0.001, 0.3);
    double first = next(windows).get(0);
    Windows again = windows();
    feed(again, 0.001, 0.3);
    again.add(Windows.Sensor.GYROSCOPE, 0.1, new float[] {9, 9, 9});
    assertEquals(first, next(again).get(0), 0);
  }

  @Test(timeout = 20000)
  public void whoWaitsIsLetGo() throws Exception {
    Windows windows = windows();
    List<Object> given = new ArrayList<>(Arrays.asList("not asked"));
    Thread waiting = new Thread(() -> given.set(0, windows.batch(0)));
    waiting.start();
    windows.close();
    waiting.join();
    assertNull(given.get(0));
  }

  @Test
  public void whatDoesNotFitIsRefused() {
    for (Signature other : Arrays.asList(train(3, "float32"), train(6, "uint8"))) {
      String told =
          assertThrows(ContractException.class, () -> new Windows(other, HZ, 2, 4, -1))
              .getMessage();
      assertEquals(told, true, told.contains("[B, T, 6] float32"));
    }
    assertThrows(
        ContractException.class, () -> new Windows(train(6, "float32"), HZ, 2, 1, -1));
  }
}
