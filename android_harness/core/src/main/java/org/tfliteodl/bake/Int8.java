package org.tfliteodl.bake;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.CheckpointException;
import org.tfliteodl.contract.Json;
import org.tfliteodl.contract.JsonException;

/** What of a serving twin is int8: ranges, and weights on the steps they make. */
final class Int8 {
  private final Map<String, Span> spans = new LinkedHashMap<>();
  private final List<Layer> layers = new ArrayList<>();
  private final String seen;

  private Int8(Json json) {
    for (Json one : json.get("spans").list()) {
      spans.put(one.get("name").text(), new Span(one));
    }
    for (Json one : json.get("layers").list()) {
      Layer layer = new Layer(one);
      if (!spans.containsKey(layer.source)) {
        throw new JsonException("a layer reads from no span '" + layer.source + "'");
      }
      layers.add(layer);
    }
    seen = json.get("seen").text();
  }

  static Int8 read(Json json) {
    return new Int8(json);
  }

  /** Makes the array of a recipe. */
  interface Maker {
    Floats make(Recipe recipe);
  }

  /** Writes everything that a state makes. */
  void write(Twin twin, Maker maker, Map<String, Floats> state) {
    float[] went = went(state);
    Map<String, Double> steps = new LinkedHashMap<>();
    for (Map.Entry<String, Span> one : spans.entrySet()) {
      double[] range = one.getValue().range(went, seen);
      steps.put(one.getKey(), Quantizing.step(range));
      twin.putFloats(one.getValue().scale, Quantizing.step(range));
      twin.place(one.getValue().zeroPoint, 8).putLong(Quantizing.zeroPoint(range));
    }
    for (Layer layer : layers) {
      layer.write(twin, maker, steps.get(layer.source));
    }
  }

  /** Returns what training has seen; nothing where that is not followed. */
  private float[] went(Map<String, Floats> state) {
    if (seen.isEmpty()) {
      return new float[0];
    }
    Floats found = state.get(seen);
    if (found == null || !found.isFinite()) {
      throw new CheckpointException(
          "the state needs '" + seen + "', finite numbers: the ranges of the int8 twin are made of "
              + "them");
    }
    return found.data;
  }

  /** The range of one activation, and where the file has its scale and zero point. */
  private static final class Span {
    private final double low;
    private final double high;
    private final int below;
    private final int above;
    private final long scale;
    private final long zeroPoint;

    Span(Json json) {
      low = json.get("low").number();
      high = json.get("high").number();
      List<Json> places = json.get("seen").list();
      if (places.size() != 2) {
        throw new JsonException("a span is seen at two places");
      }
      below = place(places.get(0));
      above = place(places.get(1));
      scale = json.get("scale").whole();
      zeroPoint = json.get("zero_point").whole();
    }

    private static int place(Json json) {
      if (json.isNull()) {
        return -1;
      }
      if (json.integer() < 0) {
        throw new JsonException("no place is " + json.integer());
      }
      return json.integer();
    }

    double[] range(float[] went, String seen) {
      if (Math.max(below, above) >= went.length) {
        throw new ArtifactException(
            "the int8 twin is made of " + (Math.max(below, above) + 1) + " numbers of '" + seen
                + "', the state has " + went.length);
      }
      double lowest = below < 0 ? low : Math.min(low, -(double) went[below]);
      double highest = above < 0 ? high : Math.max(high, went[above]);
      return Quantizing.nudged(lowest, highest);
    }
  }

  /** The weights of one int8 layer, and where the file has them. */
  private static final class Layer {
    private final Formula kernel;
    private final Formula bias;
    private final Channels channels;
    private final String source;
    private final long offset;
    private final Order order;
    private final long scales;
    private final long biasOffset;
    private final long biasScales;

    Layer(Json json) {
      kernel = Formula.read(json.get("kernel"));
      bias = json.get("bias").isNull() ? null : Formula.read(json.get("bias"));
      channels = new Channels(json.get("axes").ints());
      source = json.get("source").text();
      offset = json.get("offset").whole();
      order = new Order(json.get("order").ints());
      scales = json.get("scales").whole();
      biasOffset = json.get("bias_offset").whole();
      biasScales = json.get("bias_scales").whole();
    }

    /** Writes kernel' = kernel / s with s = high / 127, and bias' = bias / (s step), rounded. */
    void write(Twin twin, Maker maker, double step) {
      Floats values = maker.make(kernel);
      Floats biases = bias == null ? Floats.filled(kernel.channels(), 0) : maker.make(bias);
      float[] highs = Quantizing.highs(values, biases, channels, step);
      double[] of = Quantizing.scales(highs, Quantizing.WEIGHT_STEPS);
      byte[] steps = Quantizing.steps(values, channels, of, Quantizing.WEIGHT_STEPS);
      twin.putBytes(offset, order.of(steps, values.shape));
      twin.putFloats(scales, of);
      double[] biasOf = new double[of.length];
      for (int i = 0; i < of.length; i++) {
        biasOf[i] = of[i] * step;
      }
      int[] rounded = new int[biases.data.length];
      for (int i = 0; i < rounded.length; i++) {
        rounded[i] = (int) Quantizing.away(biases.data[i] / biasOf[of.length == 1 ? 0 : i]);
      }
      twin.place(biasOffset, 4L * rounded.length).asIntBuffer().put(rounded);
      twin.putFloats(biasScales, biasOf);
    }
  }
}
