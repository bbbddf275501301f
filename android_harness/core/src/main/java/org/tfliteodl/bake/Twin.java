package org.tfliteodl.bake;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.tfliteodl.ArtifactException;

/** A copy of a serving twin, written to in places that the manifest gives. */
final class Twin {
  private final ByteBuffer data;

  Twin(ByteBuffer model) {
    data = ByteBuffer.allocateDirect(model.remaining()).order(ByteOrder.LITTLE_ENDIAN);
    data.put(model.duplicate());
    data.clear();
  }

  /** Returns so many bytes at an offset, little-endian, to be written or read. */
  ByteBuffer place(long offset, long bytes) {
    if (offset < 0 || bytes < 0 || offset > data.capacity() - bytes) {
      throw new ArtifactException(
          "the manifest puts " + bytes + " bytes at " + offset + " of a serving twin of "
              + data.capacity());
    }
    ByteBuffer found = data.duplicate();
    found.limit((int) (offset + bytes));
    found.position((int) offset);
    return found.slice().order(ByteOrder.LITTLE_ENDIAN);
  }

  void putFloats(long offset, float... values) {
    place(offset, 4L * values.length).asFloatBuffer().put(values);
  }

  void putFloats(long offset, double... values) {
    float[] found = new float[values.length];
    for (int i = 0; i < found.length; i++) {
      found[i] = (float) values[i];
    }
    putFloats(offset, found);
  }

  void putBytes(long offset, byte[] values) {
    place(offset, values.length).put(values);
  }

  ByteBuffer content() {
    data.clear();
    return data;
  }
}
