package org.tfliteodl.bake;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.tfliteodl.contract.Json;
import org.tfliteodl.contract.JsonException;

/**
 * How one weight of a serving graph is made of weights of the training graph.
 *
 * <p>With f_i the factors of the steps, kernel' = kernel f_1 f_2 ..., along the channels, and bias'
 * is what the steps make of the bias, one after the other: float32, in this order.
 */
final class Formula implements Recipe {
  private static final int MOST_CHANNELS = 1 << 24;

  private final boolean isKernel;
  private final String kernel;
  private final String bias;
  private final Channels channels;
  private final int count;
  private final List<Fold> steps = new ArrayList<>();
  private final Levels levels;
  private final Range reads;

  private Formula(Json json) {
    isKernel = json.get("part").text().equals("kernel");
    kernel = name(json, "kernel");
    bias = name(json, "bias");
    channels = new Channels(json.get("axes").ints());
    count = json.get("channels").integer();
    if (count < 1 || count > MOST_CHANNELS) {
      throw new JsonException("a weight has no " + count + " channels");
    }
    for (Json one : json.get("steps").list()) {
      steps.add(Fold.read(one));
    }
    levels = json.find("levels") == null ? null : Levels.read(json.get("levels"));
    reads = json.find("reads") == null ? null : Range.read(json.get("reads"));
  }

  static Formula read(Json json) {
    return new Formula(json);
  }

  private static String name(Json json, String field) {
    return json.find(field) == null ? null : json.get(field).text();
  }

  int channels() {
    return count;
  }

  /** Returns how the kernel is quantized in training; null: not at all. */
  Levels levels() {
    return levels;
  }

  @Override
  public List<String> sources() {
    Set<String> found = new LinkedHashSet<>();
    String own = isKernel ? kernel : bias;
    if (own != null) {
      found.add(own);
    }
    if (levels != null && levels.clip != null) {
      found.add(levels.clip);
    }
    if (reads != null) {
      found.addAll(reads.sources());
    }
    for (Fold step : steps) {
      found.addAll(step.sources(isKernel));
    }
    return new ArrayList<>(found);
  }

  @Override
  public Floats value(Map<String, Floats> weights) {
    if (isKernel) {
      return kernel(weights);
    }
    Floats found = bias == null ? Floats.filled(count, 0) : weights.get(bias);
    for (Fold step : steps) {
      found = step.shifted(found, weights);
    }
    return found;
  }

  private Floats kernel(Map<String, Floats> weights) {
    Floats found;
    if (levels == null) {
      found = kernel == null ? Floats.filled(count, 1) : weights.get(kernel);
    } else {
      Levels.Leveled leveled = levels.of(weights.get(kernel), channels, weights);
      found = leveled.levels.times(leveled.scales, channels);
    }
    for (float[] factor : factors(weights)) {
      found = found.times(factor, channels);
    }
    return found;
  }

  /**
   * Returns a quantized kernel's whole numbers and the scale of each channel: their product is the
   * value. Scales are positive and normal numbers, as runtimes ask for.
   */
  Levels.Leveled parts(Map<String, Floats> weights) {
    Levels.Leveled leveled = levels.of(weights.get(kernel), channels, weights);
    float[] scales = leveled.scales;
    for (float[] factor : factors(weights)) {
      for (int i = 0; i < scales.length; i++) {
        scales[i] *= factor[factor.length == 1 ? 0 : i];
      }
    }
    int[] of = channels.of(leveled.levels.shape);
    for (int i = 0; i < of.length; i++) {
      leveled.levels.data[i] *= scales[of[i]] < 0 ? -1 : 1;
    }
    for (int i = 0; i < scales.length; i++) {
      scales[i] = Math.max(Math.abs(scales[i]), Levels.TINY);
    }
    return leveled;
  }

  private List<float[]> factors(Map<String, Floats> weights) {
    List<float[]> found = new ArrayList<>();
    if (reads != null) {
      found.add(reads.value(weights).data);
    }
    for (Fold step : steps) {
      Floats factor = step.factor(weights);
      if (factor != null) {
        found.add(factor.data);
      }
    }
    return found;
  }
}
