package org.tfliteodl.bake;

/** float32 to float16, to the nearest, ties to even. */
final class Half {
  private Half() {}

  /** Returns the 16 bits; what is beyond float16 becomes infinity. */
  static short of(float value) {
    int bits = Float.floatToRawIntBits(value);
    int sign = bits >>> 16 & 0x8000;
    int size = bits & 0x7fffffff;
    if (size >= 0x47800000) { // 65536 and above, infinity, NaN
      return (short) (sign | (size > 0x7f800000 ? 0x7e00 : 0x7c00));
    }
    if (size < 0x33000000) { // below half of the smallest float16
      return (short) sign;
    }
    int exponent = size >>> 23;
    int fraction = size & 0x7fffff | 0x800000;
    // Of the 24 bits 11 stay, fewer where the result is not normal.
    int dropped = exponent < 113 ? 126 - exponent : 13;
    int kept = fraction >>> dropped;
    int rest = fraction & ((1 << dropped) - 1);
    int half = 1 << (dropped - 1);
    if (rest > half || (rest == half && (kept & 1) == 1)) {
      kept++;
    }
    // A carry out of the fraction makes the next exponent, infinity at last.
    return (short) (sign | (exponent < 113 ? kept : ((exponent - 113) << 10) + kept));
  }
}
