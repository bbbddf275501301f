package org.tfliteodl.bake;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Map;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.CheckpointException;
import org.tfliteodl.contract.Json;
import org.tfliteodl.contract.JsonException;

/** One weight of a serving twin: how it is made, where it lies, in how many bits. */
final class Weight {
  private final Recipe recipe;
  private final long offset;
  private final Order order;
  private final long bytes;
  private final String encoding;
  private final int bits;
  private final Channels scaleChannels;
  private final long scales;

  private Weight(Json json) {
    recipe = Recipe.read(json);
    offset = json.get("offset").whole();
    order = new Order(json.get("order").ints());
    bytes = json.get("bytes").whole();
    encoding = json.has("encoding") ? json.get("encoding").text() : "float32";
    bits = bits(encoding);
    int[] axes = json.has("scale_axes") ? json.get("scale_axes").ints() : new int[0];
    scaleChannels = new Channels(axes);
    if ((bits < 16) != (json.find("scales") != null)) {
      throw new JsonException("encoding " + encoding + " and scales do not go together");
    }
    scales = bits < 16 ? json.get("scales").whole() : -1;
  }

  static Weight read(Json json) {
    return new Weight(json);
  }

  private static int bits(String encoding) {
    switch (encoding) {
      case "float32":
        return 32;
      case "float16":
        return 16;
      case "int8":
        return 8;
      case "int4":
        return 4;
      case "int2":
        return 2;
      default:
        throw new JsonException("no encoding is '" + encoding + "'");
    }
  }

  Recipe recipe() {
    return recipe;
  }

  /**
   * Writes the weight.
   *
   * @param value what the recipe makes
   * @param sources what the recipe made it of; levels are made of them
   * @throws ArtifactException it does not fit its place
   * @throws CheckpointException it is beyond float16
   */
  void write(Twin twin, Floats value, Map<String, Floats> sources) {
    byte[] stored = bits < 16 ? steps(twin, value, sources) : floats(order.of(value));
    if (stored.length != bytes) {
      throw new ArtifactException(
          recipe.sources() + " make a weight " + Arrays.toString(value.shape)
              + "; the manifest has " + bytes + " bytes " + encoding);
    }
    twin.putBytes(offset, stored);
  }

  private byte[] floats(float[] values) {
    ByteBuffer found =
        ByteBuffer.allocate(values.length * bits / 8).order(ByteOrder.LITTLE_ENDIAN);
    for (float one : values) {
      if (bits == 32) {
        found.putFloat(one);
        continue;
      }
      short half = Half.of(one);
      if ((half & 0x7c00) == 0x7c00) {
        throw new CheckpointException(
            "the state's " + recipe.sources() + " make a weight beyond " + encoding);
      }
      found.putShort(half);
    }
    return found.array();
  }

  private byte[] steps(Twin twin, Floats value, Map<String, Floats> sources) {
    Levels levels = recipe instanceof Formula ? ((Formula) recipe).levels() : null;
    byte[] steps;
    if (levels != null && levels.width() <= bits) {
      Levels.Leveled leveled = ((Formula) recipe).parts(sources);
      twin.putFloats(scales, leveled.scales);
      steps = new byte[leveled.levels.data.length];
      for (int i = 0; i < steps.length; i++) {
        steps[i] = (byte) leveled.levels.data[i];
      }
    } else {
      int most = (1 << (bits - 1)) - 1;
      float[] highs = Quantizing.highs(value, null, scaleChannels, 1);
      // Of 2 bits: what is below a third of the largest is 0.
      double[] found = Quantizing.scales(highs, bits > 2 ? most : 1.5);
      twin.putFloats(scales, found);
      steps = Quantizing.steps(value, scaleChannels, found, most);
    }
    return Quantizing.packed(order.of(steps, value.shape), bits);
  }
}
