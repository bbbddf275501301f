package org.tfliteodl.contract;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A value of JSON, asked for by what it must be; every method throws {@link JsonException}. */
public final class Json {
  private final Object value;
  private final String where;

  private Json(Object value, String where) {
    this.value = value;
    this.where = where;
  }

  /** Parses a text. */
  public static Json parse(String text) {
    return new Json(JsonReader.read(text), "the text");
  }

  /** Parses UTF-8. */
  public static Json parse(byte[] content) {
    try {
      ByteBuffer bytes = ByteBuffer.wrap(content);
      return parse(StandardCharsets.UTF_8.newDecoder().decode(bytes).toString());
    } catch (CharacterCodingException error) {
      throw new JsonException("no UTF-8: " + error.getMessage());
    }
  }

  /** Returns a field of an object. */
  public Json get(String name) {
    if (!has(name)) {
      throw new JsonException(where + " has no '" + name + "'");
    }
    return new Json(map().get(name), name);
  }

  /** Whether an object has a field, be it null. */
  public boolean has(String name) {
    return map().containsKey(name);
  }

  /** Returns a field of an object, null where it has none or one that is null. */
  public Json find(String name) {
    return has(name) && map().get(name) != null ? get(name) : null;
  }

  /** Returns the fields of an object, in their order. */
  public Map<String, Json> fields() {
    Map<String, Json> found = new LinkedHashMap<>();
    for (Map.Entry<?, ?> entry : map().entrySet()) {
      String name = (String) entry.getKey();
      found.put(name, new Json(entry.getValue(), name));
    }
    return found;
  }

  /** Returns the fields of an object whose values are texts. */
  public Map<String, String> texts() {
    Map<String, String> found = new LinkedHashMap<>();
    for (Map.Entry<String, Json> entry : fields().entrySet()) {
      found.put(entry.getKey(), entry.getValue().text());
    }
    return found;
  }

  /** Returns the elements of an array. */
  public List<Json> list() {
    if (!(value instanceof List)) {
      throw is("array");
    }
    List<Json> found = new ArrayList<>();
    for (Object one : (List<?>) value) {
      found.add(new Json(one, "an element of " + where));
    }
    return found;
  }

  /** Returns the elements of an array of whole numbers. */
  public int[] ints() {
    List<Json> elements = list();
    int[] found = new int[elements.size()];
    for (int i = 0; i < found.length; i++) {
      found[i] = elements.get(i).integer();
    }
    return found;
  }

  public String text() {
    if (!(value instanceof String)) {
      throw is("text");
    }
    return (String) value;
  }

  /** Returns a whole number that an int holds. */
  public int integer() {
    long found = whole();
    if (found != (int) found) {
      throw is("number of 32 bits");
    }
    return (int) found;
  }

  /** Returns a whole number of at most 18 digits. */
  public long whole() {
    if (!(value instanceof Long)) {
      throw is("whole number");
    }
    return (Long) value;
  }

  public double number() {
    if (!(value instanceof Number)) {
      throw is("number");
    }
    return ((Number) value).doubleValue();
  }

  public boolean truth() {
    if (!(value instanceof Boolean)) {
      throw is("truth value");
    }
    return (Boolean) value;
  }

  public boolean isText() {
    return value instanceof String;
  }

  public boolean isWhole() {
    return value instanceof Long;
  }

  public boolean isNumber() {
    return value instanceof Number;
  }

  public boolean isNull() {
    return value == null;
  }

  public boolean isList() {
    return value instanceof List;
  }

  /** Returns maps, lists, strings, Long, Double, Boolean and null. */
  public Object plain() {
    return value;
  }

  private Map<?, ?> map() {
    if (!(value instanceof Map)) {
      throw is("object");
    }
    return (Map<?, ?>) value;
  }

  private JsonException is(String wanted) {
    String shown = String.valueOf(value);
    shown = shown.length() > 80 ? shown.substring(0, 80) + "..." : shown;
    return new JsonException(where + " is no " + wanted + ": " + shown);
  }
}
