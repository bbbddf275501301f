package org.tfliteodl.bake;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.tfliteodl.contract.Json;

/**
 * y = (x - mean) f + offset with f = scale / sqrt(variance + epsilon), by channel. What is left out
 * is 0 (mean, offset), 1 (scale), or makes f the bare scale (variance).
 */
final class Fold {
  private final String scale;
  private final String offset;
  private final String mean;
  private final String variance;
  private final float epsilon;

  private Fold(Json json) {
    scale = name(json, "scale");
    offset = name(json, "offset");
    mean = name(json, "mean");
    variance = name(json, "variance");
    epsilon = json.has("epsilon") ? (float) json.get("epsilon").number() : 0;
  }

  static Fold read(Json json) {
    return new Fold(json);
  }

  private static String name(Json json, String field) {
    Json found = json.find(field);
    return found == null ? null : found.text();
  }

  /** Returns the names it reads; those that make the factor alone, or all. */
  List<String> sources(boolean factorOnly) {
    List<String> found = new ArrayList<>();
    for (String one : new String[] {scale, factorOnly ? null : offset, factorOnly ? null : mean}) {
      if (one != null) {
        found.add(one);
      }
    }
    if (variance != null) {
      found.add(variance);
    }
    return found;
  }

  /** Returns f, [C]; null: 1. */
  Floats factor(Map<String, Floats> weights) {
    Floats scaled = scale == null ? null : weights.get(scale);
    if (variance == null) {
      return scaled;
    }
    Floats spread = weights.get(variance);
    float[] found = new float[spread.data.length];
    for (int i = 0; i < found.length; i++) {
      // A float's square root in double, rounded, is the float nearest to it.
      found[i] = (float) Math.sqrt(spread.data[i] + epsilon);
    }
    Floats deviation = new Floats(found, spread.shape);
    Floats upper = scaled == null ? new Floats(new float[] {1}, 1) : scaled;
    return upper.with(deviation, (a, b) -> a / b);
  }

  /** Returns what the step makes of a bias, [C]. */
  Floats shifted(Floats bias, Map<String, Floats> weights) {
    Floats found = bias;
    Floats factor = factor(weights);
    if (mean != null) {
      found = found.with(weights.get(mean), (a, b) -> a - b);
    }
    if (factor != null) {
      found = found.with(factor, (a, b) -> a * b);
    }
    return offset == null ? found : found.with(weights.get(offset), (a, b) -> a + b);
  }
}
