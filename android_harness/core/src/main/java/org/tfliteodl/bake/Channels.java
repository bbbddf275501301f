package org.tfliteodl.bake;

import java.util.Arrays;
import org.tfliteodl.ArtifactException;

/** Which axes of a kernel its channels run over, counted from the end. */
final class Channels {
  private final int[] axes;

  Channels(int... axes) {
    this.axes = axes;
  }

  /** Returns for each axis of a shape whether channels run over it. */
  boolean[] own(int[] shape) {
    boolean[] found = new boolean[shape.length];
    for (int axis : axes) {
      int rank = shape.length;
      if (rank == 0) {
        throw new ArtifactException("a single value has no axis " + axis);
      }
      found[((axis % rank) + rank) % rank] = true;
    }
    return found;
  }

  /** Returns the number of channels. */
  int count(int[] shape) {
    boolean[] own = own(shape);
    int found = 1;
    for (int axis = 0; axis < shape.length; axis++) {
      found *= own[axis] ? shape[axis] : 1;
    }
    return found;
  }

  /** Returns the channel of each element of an array in C order. */
  int[] of(int[] shape) {
    boolean[] own = own(shape);
    int total = 1;
    for (int size : shape) {
      total *= size;
    }
    int[] found = new int[total];
    int repeat = 1;
    int step = 1;
    // From the last axis on: an own one counts on, another repeats.
    for (int axis = shape.length - 1; axis >= 0; axis--) {
      if (own[axis]) {
        for (int i = 0; i < total; i++) {
          found[i] += i / repeat % shape[axis] * step;
        }
        step *= shape[axis];
      }
      repeat *= shape[axis];
    }
    return found;
  }

  boolean isEmpty() {
    return axes.length == 0;
  }

  @Override
  public String toString() {
    return Arrays.toString(axes);
  }
}
