package org.tfliteodl.contract;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Comparator;
import java.util.Map;
import java.util.TreeMap;

/** The sha256 of named tensors and the facts about them, over defined bytes. */
public final class Digest {
  /** The fact that holds the digest itself, which is left out of it. */
  public static final String FIELD = "sha256";

  private Digest() {}

  /**
   * Returns the sha256, in hexadecimal, of the facts but "sha256", and the tensors.
   *
   * <p>Numbers are little-endian, a text is its length in bytes (4) and its UTF-8. Hashed are the
   * number of facts (4); for each, sorted by the bytes of its name: name, value; the number of
   * tensors (4); for each, sorted alike: name, dtype (texts), rank (4), sizes (8 each), number of
   * data bytes (8), data in C order.
   */
  public static String of(Map<String, String> facts, Map<String, Tensor> tensors) {
    Map<String, String> sorted = byBytes(facts);
    sorted.remove(FIELD);
    Hash hash = new Hash();
    hash.add(sorted.size(), 4);
    for (Map.Entry<String, String> fact : sorted.entrySet()) {
      hash.add(fact.getKey());
      hash.add(fact.getValue());
    }
    hash.add(tensors.size(), 4);
    for (Map.Entry<String, Tensor> entry : byBytes(tensors).entrySet()) {
      Tensor tensor = entry.getValue();
      hash.add(entry.getKey());
      hash.add(tensor.dtype().toString());
      hash.add(tensor.rank(), 4);
      for (int size : tensor.shape()) {
        hash.add(size, 8);
      }
      hash.add(tensor.bytes(), 8);
      hash.add(tensor.buffer());
    }
    return hash.hex();
  }

  /** Returns the map sorted by the bytes of its names' UTF-8, as Python sorts texts. */
  public static <V> Map<String, V> byBytes(Map<String, V> map) {
    Map<String, V> sorted = new TreeMap<>(CODE_POINTS);
    sorted.putAll(map);
    return sorted;
  }

  // Java's own order is of UTF-16, which differs from that of UTF-8 beyond U+FFFF.
  private static final Comparator<String> CODE_POINTS =
      new Comparator<String>() {
        @Override
        public int compare(String a, String b) {
          int i = 0;
          int j = 0;
          while (i < a.length() && j < b.length()) {
            int difference = Integer.compare(a.codePointAt(i), b.codePointAt(j));
            if (difference != 0) {
              return difference;
            }
            i += Character.charCount(a.codePointAt(i));
            j += Character.charCount(b.codePointAt(j));
          }
          return Integer.compare(a.length() - i, b.length() - j);
        }
      };

  /** A sha256 that grows. */
  public static final class Hash {
    private final MessageDigest total;

    public Hash() {
      try {
        total = MessageDigest.getInstance("SHA-256");
      } catch (NoSuchAlgorithmException error) {
        throw new IllegalStateException("every Java has SHA-256", error);
      }
    }

    /** Adds what remains of a buffer. */
    public void add(ByteBuffer bytes) {
      total.update(bytes);
    }

    void add(String text) {
      byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
      add(bytes.length, 4);
      total.update(bytes);
    }

    void add(long number, int size) {
      byte[] bytes = new byte[8];
      ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putLong(number);
      total.update(bytes, 0, size);
    }

    /** Returns the 32 bytes; the hash begins anew. */
    public byte[] bytes() {
      return total.digest();
    }

    /** Returns them as 64 lower-case hexadecimal digits. */
    public String hex() {
      StringBuilder found = new StringBuilder();
      for (byte one : bytes()) {
        found.append(Character.forDigit((one >> 4) & 15, 16));
        found.append(Character.forDigit(one & 15, 16));
      }
      return found.toString();
    }
  }
}
