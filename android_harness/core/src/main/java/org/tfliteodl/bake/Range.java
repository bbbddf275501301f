package org.tfliteodl.bake;

import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.tfliteodl.contract.Json;
import org.tfliteodl.contract.JsonException;

/**
 * One number of what rounds activations, y = round(clip(a, l, r) n / r) r / n: "high" is r, "low"
 * -r, "per_step" n / r, "step" r / n.
 */
final class Range implements Recipe {
  private final String part;
  private final String range;
  private final float count;

  private Range(String part, String range, double count) {
    this.part = part;
    this.range = range;
    this.count = (float) count;
  }

  static Range read(Json json) {
    return new Range(
        json.get("part").text(), json.get("range").text(), json.get("count").number());
  }

  @Override
  public List<String> sources() {
    return Collections.singletonList(range);
  }

  @Override
  public Floats value(Map<String, Floats> weights) {
    Floats given = weights.get(range);
    float[] found = new float[given.data.length];
    for (int i = 0; i < found.length; i++) {
      found[i] = part(Math.max(given.data[i], Levels.LEAST));
    }
    return new Floats(found, given.shape);
  }

  private float part(float r) {
    switch (part) {
      case "high":
        return r;
      case "low":
        return -r;
      case "per_step":
        return count / r;
      case "step":
        return r * (float) (1.0 / count);
      default:
        throw new JsonException("a range has no part '" + part + "'");
    }
  }
}
