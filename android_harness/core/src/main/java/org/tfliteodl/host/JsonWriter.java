package org.tfliteodl.host;

/** Parts of JSON, appended to a text. */
public final class JsonWriter {
  private JsonWriter() {}

  /** Appends a text in quotes; what is not ASCII stays as it is. */
  public static StringBuilder text(StringBuilder to, String value) {
    to.append('"');
    for (int i = 0; i < value.length(); i++) {
      char c = value.charAt(i);
      int control = "\b\f\n\r\t".indexOf(c);
      if (c == '"' || c == '\\') {
        to.append('\\').append(c);
      } else if (control >= 0) {
        to.append('\\').append("bfnrt".charAt(control));
      } else if (c < ' ') {
        to.append(String.format("\\u%04x", (int) c));
      } else {
        to.append(c);
      }
    }
    return to.append('"');
  }

  /** Appends whole numbers, without a space. */
  public static StringBuilder ints(StringBuilder to, int[] values) {
    to.append('[');
    for (int i = 0; i < values.length; i++) {
      to.append(i == 0 ? "" : ",").append(values[i]);
    }
    return to.append(']');
  }

  /** Appends a number, null where it is not finite, without a fraction where it is whole. */
  public static StringBuilder number(StringBuilder to, double value, boolean whole) {
    if (Double.isNaN(value) || Double.isInfinite(value)) {
      return to.append("null");
    }
    return whole ? to.append((long) value) : to.append(value);
  }
}
