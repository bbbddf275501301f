package org.tfliteodl.host;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tfliteodl.contract.Digest;
import org.tfliteodl.contract.Dtype;
import org.tfliteodl.contract.Json;
import org.tfliteodl.contract.JsonException;
import org.tfliteodl.contract.Tensor;

/**
 * The layout of safetensors: 8 bytes length, a JSON header with dtype, shape and place of each
 * tensor, raw little-endian data without gaps.
 */
public final class Safetensors {
  static final String FACTS = "__metadata__";
  static final int MOST_HEADER_BYTES = 1 << 26;
  private static final int LENGTH_BYTES = 8;

  private final Map<String, String> facts;
  private final Map<String, Tensor> tensors;

  private Safetensors(Map<String, String> facts, Map<String, Tensor> tensors) {
    this.facts = facts;
    this.tensors = tensors;
  }

  /** Returns the texts of the header. */
  public Map<String, String> facts() {
    return facts;
  }

  /** Returns the tensors by name. */
  public Map<String, Tensor> tensors() {
    return tensors;
  }

  /** Whether the digest in the header is that of the content. */
  public boolean isWhole() {
    return Digest.of(facts, tensors).equals(facts.get(Digest.FIELD));
  }

  /**
   * Reads a file's content; the tensors are views of it.
   *
   * @throws JsonException it is none, or a tensor leads out of it
   */
  public static Safetensors read(ByteBuffer content) {
    ByteBuffer data = content.duplicate().order(ByteOrder.LITTLE_ENDIAN);
    if (data.remaining() < LENGTH_BYTES) {
      throw malformed("it is cut: " + data.remaining() + " bytes");
    }
    long length = data.getLong();
    if (length < 0 || length > Math.min(data.remaining(), MOST_HEADER_BYTES)) {
      throw malformed("it is cut: the header needs " + length + " bytes");
    }
    byte[] header = new byte[(int) length];
    data.get(header);
    return read(Json.parse(header), data.slice().order(ByteOrder.LITTLE_ENDIAN));
  }

  private static Safetensors read(Json header, ByteBuffer data) {
    Map<String, String> facts = new LinkedHashMap<>();
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    long total = 0;
    for (Map.Entry<String, Json> entry : header.fields().entrySet()) {
      if (entry.getKey().equals(FACTS)) {
        facts = entry.getValue().texts();
      } else {
        Tensor tensor = tensor(entry.getKey(), entry.getValue(), data);
        total += tensor.bytes();
        tensors.put(entry.getKey(), tensor);
      }
    }
    if (total != data.limit()) {
      throw malformed("its tensors have " + total + " bytes, the file " + data.limit());
    }
    return new Safetensors(facts, tensors);
  }

  private static Tensor tensor(String name, Json about, ByteBuffer data) {
    Dtype dtype = Dtype.ofSafetensors(about.get("dtype").text());
    int[] shape = about.get("shape").ints();
    List<Json> offsets = about.get("data_offsets").list();
    if (dtype == null || offsets.size() != 2) {
      throw malformed("tensor '" + name + "' has another dtype, or no place");
    }
    long start = offsets.get(0).whole();
    long end = offsets.get(1).whole();
    double bytes = dtype.bytes();
    for (int size : shape) {
      bytes *= size < 0 ? Double.NaN : size;
    }
    if (start < 0 || end < start || end > data.limit() || end - start != bytes) {
      throw malformed(
          "tensor '" + name + "' of " + bytes + " bytes at " + start + " to " + end + " of "
              + data.limit());
    }
    ByteBuffer place = data.duplicate();
    place.limit((int) end);
    place.position((int) start);
    return Tensor.view(dtype, place, shape);
  }

  private static JsonException malformed(String what) {
    return new JsonException(what);
  }

  /**
   * Returns a file's parts: header and data. Tensors stand as safetensors' own writer puts them,
   * wide elements first, then by name.
   *
   * @param facts texts; their digest is added
   */
  public static List<ByteBuffer> written(Map<String, String> facts, Map<String, Tensor> tensors) {
    List<String> names = new ArrayList<>(Digest.byBytes(tensors).keySet());
    // Stable: names of one dtype stay in their order.
    Collections.sort(
        names,
        new Comparator<String>() {
          @Override
          public int compare(String a, String b) {
            return rank(tensors.get(a).dtype()) - rank(tensors.get(b).dtype());
          }
        });
    Map<String, String> whole = new LinkedHashMap<>(facts);
    whole.put(Digest.FIELD, Digest.of(facts, tensors));
    List<ByteBuffer> parts = new ArrayList<>();
    parts.add(header(whole, names, tensors));
    for (String name : names) {
      parts.add(tensors.get(name).buffer().duplicate());
    }
    return parts;
  }

  private static int rank(Dtype dtype) {
    Dtype[] order = {Dtype.FLOAT32, Dtype.INT32, Dtype.INT8, Dtype.UINT8, Dtype.BOOL};
    int at = 0;
    while (order[at] != dtype) {
      at++;
    }
    return at;
  }

  private static ByteBuffer header(
      Map<String, String> facts, List<String> names, Map<String, Tensor> tensors) {
    StringBuilder text = new StringBuilder("{");
    JsonWriter.text(text, FACTS).append(":{");
    String comma = "";
    for (Map.Entry<String, String> fact : facts.entrySet()) {
      JsonWriter.text(text.append(comma), fact.getKey()).append(':');
      JsonWriter.text(text, fact.getValue());
      comma = ",";
    }
    text.append('}');
    long at = 0;
    for (String name : names) {
      Tensor tensor = tensors.get(name);
      JsonWriter.text(text.append(','), name).append(":{\"dtype\":\"");
      text.append(tensor.dtype().safetensors()).append("\",\"shape\":");
      JsonWriter.ints(text, tensor.shape()).append(",\"data_offsets\":[").append(at);
      at += tensor.bytes();
      text.append(',').append(at).append("]}");
    }
    byte[] bytes = text.append('}').toString().getBytes(StandardCharsets.UTF_8);
    int padded = (bytes.length + LENGTH_BYTES - 1) / LENGTH_BYTES * LENGTH_BYTES;
    ByteBuffer found = ByteBuffer.allocate(LENGTH_BYTES + padded).order(ByteOrder.LITTLE_ENDIAN);
    found.putLong(padded).put(bytes);
    while (found.hasRemaining()) {
      found.put((byte) ' ');
    }
    found.flip();
    return found;
  }
}
