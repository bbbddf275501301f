package org.tfliteodl.contract;

import org.tfliteodl.ContractException;

/** What a tensor's elements are. */
public enum Dtype {
  FLOAT32("float32", 4, "F32"),
  INT32("int32", 4, "I32"),
  UINT8("uint8", 1, "U8"),
  INT8("int8", 1, "I8"),
  BOOL("bool", 1, "BOOL");

  private final String word;
  private final int bytes;
  private final String safetensors;

  Dtype(String word, int bytes, String safetensors) {
    this.word = word;
    this.bytes = bytes;
    this.safetensors = safetensors;
  }

  /** Returns the size of an element. */
  public int bytes() {
    return bytes;
  }

  /** Returns what safetensors files call it, such as "F32". */
  public String safetensors() {
    return safetensors;
  }

  /** Returns the dtype that the contract calls so, such as "float32". */
  public static Dtype of(String word) {
    for (Dtype one : values()) {
      if (one.word.equals(word)) {
        return one;
      }
    }
    throw new ContractException("dtype '" + word + "', needs float32, int32, uint8, int8 or bool");
  }

  /** Returns the dtype that safetensors files call so; null: none of these. */
  public static Dtype ofSafetensors(String word) {
    for (Dtype one : values()) {
      if (one.safetensors.equals(word)) {
        return one;
      }
    }
    return null;
  }

  /** Whether a number can be an element as it is; NaN and infinity are float32 alone. */
  boolean holds(double value) {
    switch (this) {
      case FLOAT32:
        return true;
      case BOOL:
        return value == 0 || value == 1;
      case UINT8:
        return isWhole(value, 0, 255);
      case INT8:
        return isWhole(value, -128, 127);
      default:
        return isWhole(value, Integer.MIN_VALUE, Integer.MAX_VALUE);
    }
  }

  private static boolean isWhole(double value, double low, double high) {
    return value == Math.rint(value) && value >= low && value <= high;
  }

  /** Returns the contract's word for it, such as "float32". */
  @Override
  public String toString() {
    return word;
  }
}
