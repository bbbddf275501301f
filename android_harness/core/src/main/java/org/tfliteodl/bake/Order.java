package org.tfliteodl.bake;

import java.util.Arrays;
import org.tfliteodl.ArtifactException;

/** In which order a value's axes lie in the file. */
final class Order {
  private final int[] axes;

  Order(int[] axes) {
    this.axes = axes;
  }

  /**
   * Returns for each element of the file, in C order of the transposed value, which element of the
   * value it is.
   *
   * @throws ArtifactException the axes are not those of the value
   */
  int[] places(int[] shape) {
    int[] sorted = axes.clone();
    Arrays.sort(sorted);
    boolean fits = axes.length == shape.length;
    for (int i = 0; fits && i < sorted.length; i++) {
      fits = sorted[i] == i;
    }
    if (!fits) {
      throw new ArtifactException(
          "the manifest has axes in the order " + Arrays.toString(axes) + ", the weight is "
              + Arrays.toString(shape));
    }
    int[] strides = new int[shape.length];
    int total = 1;
    for (int axis = shape.length - 1; axis >= 0; axis--) {
      strides[axis] = total;
      total *= shape[axis];
    }
    int[] found = new int[total];
    int repeat = 1;
    for (int i = axes.length - 1; i >= 0; i--) {
      int size = shape[axes[i]];
      for (int at = 0; at < total; at++) {
        found[at] += at / repeat % size * strides[axes[i]];
      }
      repeat *= size;
    }
    return found;
  }

  float[] of(Floats value) {
    int[] places = places(value.shape);
    float[] found = new float[places.length];
    for (int i = 0; i < found.length; i++) {
      found[i] = value.data[places[i]];
    }
    return found;
  }

  byte[] of(byte[] values, int[] shape) {
    int[] places = places(shape);
    byte[] found = new byte[places.length];
    for (int i = 0; i < found.length; i++) {
      found[i] = values[places[i]];
    }
    return found;
  }
}
