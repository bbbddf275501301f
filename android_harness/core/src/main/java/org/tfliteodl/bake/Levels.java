package org.tfliteodl.bake;

import java.util.Map;
import org.tfliteodl.contract.Json;
import org.tfliteodl.contract.JsonException;

/** A quantizer of a kernel: whole numbers times a scale for each channel. */
final class Levels {
  /** A bound or a range below it counts as this. */
  static final float LEAST = 1e-3f;

  /** The runtime takes what is smaller for 0, and refuses it as a scale. */
  static final float TINY = Float.MIN_NORMAL;

  // Of a bound: where it begins, in standard deviations.
  private static final float DEVIATIONS = 2.5f;
  // Of a ternary weight's mean size: below it the weight is 0 (Li and Liu, 2016).
  private static final float THRESHOLD = 0.7f;

  final String clip;
  private final String kind;
  private final String clipping;
  private final int bits;

  private Levels(Json json) {
    kind = json.get("kind").text();
    clipping = json.get("clipping").text();
    bits = json.has("bits") ? json.get("bits").integer() : 1;
    Json bounds = json.find("clip");
    clip = bounds == null ? null : bounds.text();
  }

  static Levels read(Json json) {
    return new Levels(json);
  }

  /** Returns the bits that tell its levels apart. */
  int width() {
    return kind.equals("binary") ? 1 : kind.equals("ternary") ? 2 : bits;
  }

  /** Whole numbers in the kernel's shape, and the scale of each channel. */
  static final class Leveled {
    final Floats levels;
    final float[] scales;

    Leveled(Floats levels, float[] scales) {
      this.levels = levels;
      this.scales = scales;
    }
  }

  Leveled of(Floats kernel, Channels channels, Map<String, Floats> weights) {
    float[] bound = bound(kernel, channels, weights);
    int[] of = channels.of(kernel.shape);
    float[] clipped = kernel.data.clone();
    for (int i = 0; bound != null && i < clipped.length; i++) {
      clipped[i] = Math.min(Math.max(clipped[i], -bound[of[i]]), bound[of[i]]);
    }
    return kind.equals("rounded")
        ? rounded(clipped, bound, kernel.shape, of)
        : signs(clipped, kernel.shape, channels);
  }

  private Leveled rounded(float[] clipped, float[] bound, int[] shape, int[] of) {
    if (bound == null) {
      throw new JsonException("rounded levels need a clipping");
    }
    double steps = Math.pow(2, bits - 1) - 1;
    float n = (float) steps;
    float[] levels = new float[clipped.length];
    for (int i = 0; i < levels.length; i++) {
      levels[i] = (float) Math.rint(clipped[i] / bound[of[i]] * n);
    }
    float[] scales = new float[bound.length];
    for (int i = 0; i < scales.length; i++) {
      scales[i] = bound[i] * (float) (1.0 / n);
    }
    return new Leveled(new Floats(levels, shape), scales);
  }

  private Leveled signs(float[] clipped, int[] shape, Channels channels) {
    float[] size = absolute(clipped);
    float[] scales = mean(size, shape, channels);
    float[] levels = new float[size.length];
    for (int i = 0; i < levels.length; i++) {
      levels[i] = clipped[i] > -TINY ? 1 : -1;
    }
    if (kind.equals("binary")) {
      return new Leveled(new Floats(levels, shape), scales);
    }
    int[] of = channels.of(shape);
    float[] kept = new float[size.length];
    for (int i = 0; i < kept.length; i++) {
      kept[i] = size[i] > THRESHOLD * scales[of[i]] ? 1 : 0;
      levels[i] *= kept[i];
      size[i] *= kept[i];
    }
    float[] counts = Sums.of(kept, shape, channels);
    float[] sums = Sums.of(size, shape, channels);
    for (int i = 0; i < sums.length; i++) {
      sums[i] /= Math.max(counts[i], 1);
    }
    return new Leveled(new Floats(levels, shape), sums);
  }

  /** Returns the bound of each channel, null where nothing is clipped. */
  private float[] bound(Floats kernel, Channels channels, Map<String, Floats> weights) {
    if (clipping.equals("none")) {
      return null;
    }
    float[] found = new float[channels.count(kernel.shape)];
    int[] of = channels.of(kernel.shape);
    if (clipping.equals("one")) {
      java.util.Arrays.fill(found, 1);
      return found;
    }
    if (clipping.equals("largest")) {
      float[] size = absolute(kernel.data);
      for (int i = 0; i < size.length; i++) {
        found[of[i]] = Math.max(found[of[i]], size[i]);
      }
    } else if (clipping.equals("deviations")) {
      found = deviations(kernel, channels, of);
    } else {
      found = given(weights, found.length);
    }
    for (int i = 0; i < found.length; i++) {
      found[i] = Math.max(found[i], LEAST);
    }
    return found;
  }

  private static float[] deviations(Floats kernel, Channels channels, int[] of) {
    float[] middle = mean(kernel.data, kernel.shape, channels);
    float[] squares = new float[kernel.data.length];
    for (int i = 0; i < squares.length; i++) {
      float centred = kernel.data[i] - middle[of[i]];
      squares[i] = centred * centred;
    }
    float[] found = mean(squares, kernel.shape, channels);
    for (int i = 0; i < found.length; i++) {
      found[i] = DEVIATIONS * (float) Math.sqrt(found[i]);
    }
    return found;
  }

  private float[] given(Map<String, Floats> weights, int count) {
    if (clip == null || weights.get(clip).data.length != count) {
      throw new JsonException("the bounds '" + clip + "' are not one for each channel");
    }
    return weights.get(clip).data.clone();
  }

  private static float[] absolute(float[] x) {
    float[] found = new float[x.length];
    for (int i = 0; i < x.length; i++) {
      found[i] = Math.abs(x[i]);
    }
    return found;
  }

  private static float[] mean(float[] x, int[] shape, Channels channels) {
    float[] found = Sums.of(x, shape, channels);
    float share = (float) (1.0 / (x.length / found.length));
    for (int i = 0; i < found.length; i++) {
      found[i] *= share;
    }
    return found;
  }
}
