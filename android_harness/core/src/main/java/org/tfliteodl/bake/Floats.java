package org.tfliteodl.bake;

import java.util.Arrays;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.contract.Dtype;
import org.tfliteodl.contract.Tensor;

/** An array of float32 with its sizes, in C order. */
final class Floats {
  final float[] data;
  final int[] shape;

  Floats(float[] data, int... shape) {
    this.data = data;
    this.shape = shape;
    int count = 1;
    for (int size : shape) {
      count *= size;
    }
    if (count != data.length) {
      throw new ArtifactException(data.length + " numbers make no " + Arrays.toString(shape));
    }
  }

  static Floats of(String name, Tensor tensor) {
    if (tensor.dtype() != Dtype.FLOAT32) {
      throw new ArtifactException("a weight is made of '" + name + "', which is " + tensor);
    }
    return new Floats(tensor.floats(), tensor.shape());
  }

  static Floats filled(int count, float value) {
    float[] data = new float[count];
    Arrays.fill(data, value);
    return new Floats(data, count);
  }

  int rank() {
    return shape.length;
  }

  /** Two numbers make one. */
  interface Op {
    float of(float a, float b);
  }

  /** Returns what an operation makes of two arrays of one shape, or of one and a single number. */
  Floats with(Floats other, Op op) {
    boolean single = other.data.length == 1;
    if (!single && data.length == 1) {
      return other.with(this, (a, b) -> op.of(b, a));
    }
    if (!single && data.length != other.data.length) {
      throw new ArtifactException(
          "arrays " + Arrays.toString(shape) + " and " + Arrays.toString(other.shape));
    }
    float[] found = new float[data.length];
    for (int i = 0; i < found.length; i++) {
      found[i] = op.of(data[i], other.data[single ? 0 : i]);
    }
    return new Floats(found, shape);
  }

  /** Returns this array, each number multiplied by its channel's factor. */
  Floats times(float[] factors, Channels channels) {
    float[] found = new float[data.length];
    int[] of = channels.of(shape);
    if (factors.length != 1 && factors.length != channels.count(shape)) {
      throw new ArtifactException(
          factors.length + " factors for the channels of " + Arrays.toString(shape));
    }
    for (int i = 0; i < found.length; i++) {
      found[i] = data[i] * factors[factors.length == 1 ? 0 : of[i]];
    }
    return new Floats(found, shape);
  }

  /** Whether no number is NaN or infinite. */
  boolean isFinite() {
    for (float one : data) {
      if (Float.isNaN(one) || Float.isInfinite(one)) {
        return false;
      }
    }
    return true;
  }
}
