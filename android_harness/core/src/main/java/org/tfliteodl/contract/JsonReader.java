package org.tfliteodl.contract;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Parses JSON, strictly, and no deeper than {@link #DEEPEST}. */
final class JsonReader {
  static final int DEEPEST = 200;

  private final String text;
  private int at;

  private JsonReader(String text) {
    this.text = text;
  }

  /** Returns maps, lists, strings, Long, Double, Boolean and null. */
  static Object read(String text) {
    JsonReader reader = new JsonReader(text);
    Object found = reader.value(0);
    reader.space();
    if (reader.at != text.length()) {
      throw reader.wrong("the end");
    }
    return found;
  }

  private Object value(int depth) {
    if (depth > DEEPEST) {
      throw new JsonException("nested deeper than " + DEEPEST);
    }
    space();
    char next = peek();
    if (next == '{') {
      return object(depth + 1);
    }
    if (next == '[') {
      return array(depth + 1);
    }
    if (next == '"') {
      return string();
    }
    if (next == '-' || (next >= '0' && next <= '9')) {
      return number();
    }
    if (take("true")) {
      return Boolean.TRUE;
    }
    if (take("false")) {
      return Boolean.FALSE;
    }
    if (take("null")) {
      return null;
    }
    throw wrong("a value");
  }

  private Map<String, Object> object(int depth) {
    Map<String, Object> found = new LinkedHashMap<>();
    expect('{');
    space();
    if (peek() == '}') {
      at++;
      return found;
    }
    while (true) {
      space();
      String name = string();
      space();
      expect(':');
      found.put(name, value(depth));
      space();
      if (peek() != ',') {
        expect('}');
        return found;
      }
      at++;
    }
  }

  private List<Object> array(int depth) {
    List<Object> found = new ArrayList<>();
    expect('[');
    space();
    if (peek() == ']') {
      at++;
      return found;
    }
    while (true) {
      found.add(value(depth));
      space();
      if (peek() != ',') {
        expect(']');
        return found;
      }
      at++;
    }
  }

  private String string() {
    expect('"');
    StringBuilder found = new StringBuilder();
    while (peek() != '"') {
      char next = peek();
      at++;
      // NUL, the end of the text, is one, too.
      if (next < ' ') {
        throw wrong("no control character");
      }
      found.append(next == '\\' ? escaped() : next);
    }
    at++;
    return found.toString();
  }

  private char escaped() {
    char kind = peek();
    at++;
    int plain = "\"\\/".indexOf(kind);
    int control = "bfnrt".indexOf(kind);
    if (plain >= 0) {
      return kind;
    }
    if (control >= 0) {
      return "\b\f\n\r\t".charAt(control);
    }
    if (kind != 'u' || at + 4 > text.length()) {
      throw wrong("an escape");
    }
    int code = 0;
    for (int end = at + 4; at < end; at++) {
      int digit = Character.digit(text.charAt(at), 16);
      if (digit < 0 || text.charAt(at) > 'f') {
        throw wrong("a hexadecimal digit");
      }
      code = code * 16 + digit;
    }
    return (char) code;
  }

  private Object number() {
    int start = at;
    at += peek() == '-' ? 1 : 0;
    if (peek() == '0') {
      at++;
    } else {
      digits();
    }
    boolean whole = true;
    if (peek() == '.') {
      whole = false;
      at++;
      digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      whole = false;
      at++;
      at += peek() == '+' || peek() == '-' ? 1 : 0;
      digits();
    }
    String found = text.substring(start, at);
    // A whole number beyond a long is of no use here: it is kept as a fraction is.
    boolean fits = whole && found.length() < 19;
    return fits ? (Object) Long.valueOf(found) : (Object) Double.valueOf(found);
  }

  private void digits() {
    int start = at;
    while (peek() >= '0' && peek() <= '9') {
      at++;
    }
    if (at == start) {
      throw wrong("a digit");
    }
  }

  private void space() {
    while (" \t\n\r".indexOf(peek()) >= 0) {
      at++;
    }
  }

  private boolean take(String word) {
    boolean there = text.startsWith(word, at);
    at += there ? word.length() : 0;
    return there;
  }

  private void expect(char wanted) {
    if (peek() != wanted) {
      throw wrong("'" + wanted + "'");
    }
    at++;
  }

  /** Returns the next character, NUL at the end, which no rule takes. */
  private char peek() {
    return at < text.length() ? text.charAt(at) : '\0';
  }

  private JsonException wrong(String wanted) {
    return new JsonException("no JSON: needs " + wanted + " at character " + at);
  }
}
