package org.tfliteodl.host;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import org.tfliteodl.ArtifactException;

/**
 * Reads the tables of a flatbuffer, every offset checked before it is followed.
 *
 * <p>A position holds the offset of its table, counted from there; a table begins with the signed
 * offset back to its vtable, which holds its own size, the table's size, and for each field the
 * place inside the table, 0 if it is left out. A vector is its length and its elements, a text a
 * vector of bytes.
 */
final class Tables {
  static final int OFFSET_BYTES = 4;

  private final ByteBuffer data;

  Tables(ByteBuffer data) {
    this.data = data.duplicate().order(ByteOrder.LITTLE_ENDIAN);
  }

  /** Returns the unsigned integer of 1, 2 or 4 bytes at a position. */
  long number(long at, int size) {
    check(at, size);
    int place = (int) at;
    if (size == 1) {
      return data.get(place) & 0xff;
    }
    return size == 2 ? data.getShort(place) & 0xffff : data.getInt(place) & 0xffffffffL;
  }

  /** Returns the position that the offset at a position leads to. */
  long follow(long at) {
    long place = at + number(at, OFFSET_BYTES);
    check(place, OFFSET_BYTES);
    return place;
  }

  /** Returns the position of a table's field, -1 if it is left out. */
  long field(long table, int index) {
    long vtable = table - (int) number(table, OFFSET_BYTES);
    int slot = 4 + 2 * index;
    if (slot + 2 > number(vtable, 2)) {
      return -1;
    }
    long inside = number(vtable + slot, 2);
    return inside == 0 ? -1 : table + inside;
  }

  /** Returns a field's unsigned integer of 1, 2 or 4 bytes, 0 if it is left out. */
  long value(long table, int index, int size) {
    long at = field(table, index);
    return at < 0 ? 0 : number(at, size);
  }

  /**
   * Returns (position of the first element, length) of a field's vector; one that is left out is
   * empty.
   *
   * @param size bytes of an element
   */
  long[] vector(long table, int index, int size) {
    long at = field(table, index);
    if (at < 0) {
      return new long[] {0, 0};
    }
    long start = follow(at);
    long length = number(start, OFFSET_BYTES);
    check(start + OFFSET_BYTES, length * size);
    return new long[] {start + OFFSET_BYTES, length};
  }

  /** Returns the position of one table in a field's vector, by its number. */
  long element(long table, int index, long number) {
    long[] found = vector(table, index, OFFSET_BYTES);
    if (number >= found[1]) {
      throw new ArtifactException("cut or damaged: no table " + number + ", of " + found[1]);
    }
    return follow(found[0] + OFFSET_BYTES * number);
  }

  /** Returns the number of tables in a field's vector. */
  long count(long table, int index) {
    return vector(table, index, OFFSET_BYTES)[1];
  }

  /** Returns a field's vector of signed integers of 4 bytes, as "[2, 3]" shows them. */
  String integers(long table, int index) {
    long[] found = vector(table, index, 4);
    StringBuilder shown = new StringBuilder("[");
    for (long i = 0; i < found[1]; i++) {
      shown.append(i == 0 ? "" : ", ").append((int) number(found[0] + 4 * i, 4));
    }
    return shown.append(']').toString();
  }

  /** Returns a field's text. */
  String text(long table, int index) {
    long[] found = vector(table, index, 1);
    byte[] bytes = new byte[(int) found[1]];
    ByteBuffer place = data.duplicate();
    place.position((int) found[0]);
    place.get(bytes);
    return new String(bytes, StandardCharsets.UTF_8);
  }

  private void check(long at, long size) {
    if (at < 0 || at + size > data.limit()) {
      throw new ArtifactException(
          "cut or damaged: " + size + " bytes are needed at " + at + ", there are "
              + data.limit());
    }
  }
}
