package org.tfliteodl.host;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.ContractException;
import org.tfliteodl.contract.Digest;
import org.tfliteodl.contract.Manifest;
import org.tfliteodl.contract.Names;

/**
 * The manifest inside a `.tflite`, and the seal that says the file is whole.
 *
 * <p>The metadata entry "tflite_odl.manifest" names a buffer. The buffer's last 32 bytes are the
 * seal: the sha256 of the whole file with these 32 bytes set to 0. Before it stands the manifest as
 * UTF-8 JSON, or that in zlib's format: the first byte of the former is '{', of the latter 0x78.
 */
final class Embedded {
  static final int SEAL_BYTES = 32;
  static final int MOST_MANIFEST_BYTES = 1 << 24;

  private static final int IDENTIFIER = 0x334c4654; // "TFL3"
  private static final byte ZLIB = 0x78;
  // Fields of the TFLite schema's tables, by their place in it.
  private static final int MODEL_BUFFERS = 4;
  private static final int MODEL_METADATA = 6;
  private static final int METADATA_NAME = 0;
  private static final int METADATA_BUFFER = 1;
  private static final int BUFFER_DATA = 0;

  private Embedded() {}

  /**
   * Returns (start, length) of the manifest's buffer in a model, null without one.
   *
   * @throws ArtifactException no TFLite model, or an offset leads out of the file
   */
  static int[] place(ByteBuffer model) {
    return place(model, Names.METADATA_NAME);
  }

  /** Returns (start, length) of the buffer of a metadata entry, null without one. */
  static int[] place(ByteBuffer model, String name) {
    ByteBuffer data = model.duplicate().order(ByteOrder.LITTLE_ENDIAN);
    if (data.limit() < 8 || data.getInt(4) != IDENTIFIER) {
      throw new ArtifactException("no TFLite model");
    }
    Tables tables = new Tables(data);
    long root = tables.follow(0);
    for (long i = 0; i < tables.count(root, MODEL_METADATA); i++) {
      long entry = tables.element(root, MODEL_METADATA, i);
      if (tables.text(entry, METADATA_NAME).equals(name)) {
        long index = tables.value(entry, METADATA_BUFFER, 4);
        long buffer = tables.element(root, MODEL_BUFFERS, index);
        long[] found = tables.vector(buffer, BUFFER_DATA, 1);
        return new int[] {(int) found[0], (int) found[1]};
      }
    }
    return null;
  }

  /** Returns the seal that belongs to a model whose manifest's buffer is there. */
  static byte[] seal(ByteBuffer model, int[] where) {
    int end = where[0] + where[1];
    Digest.Hash hash = new Digest.Hash();
    hash.add(slice(model, 0, end - SEAL_BYTES));
    hash.add(ByteBuffer.allocate(SEAL_BYTES));
    hash.add(slice(model, end, model.limit()));
    return hash.bytes();
  }

  /**
   * Returns the manifest inside a model, the file's seal checked first.
   *
   * @param where the file's name, for messages
   * @throws ArtifactException not a TFLite file, damaged, or without a sealed manifest
   * @throws ContractException it follows another contract
   */
  static Manifest manifest(ByteBuffer model, String where) {
    try {
      int[] place = place(model);
      if (place == null) {
        throw new ArtifactException("holds no manifest: it was not exported by tflite_odl");
      }
      int length = place[1] - SEAL_BYTES;
      if (length <= 0
          || !slice(model, place[0] + length, place[0] + place[1])
              .equals(ByteBuffer.wrap(seal(model, place)))) {
        throw new ArtifactException(
            "damaged, or of contract 1: its sha256 does not fit its content");
      }
      return Manifest.parse(text(slice(model, place[0], place[0] + length)));
    } catch (ArtifactException error) {
      throw new ArtifactException(where + ": " + error.getMessage(), error);
    }
  }

  /** Returns the manifest's JSON from what stands before the seal. */
  static byte[] text(ByteBuffer content) {
    byte[] bytes = new byte[content.remaining()];
    content.get(bytes);
    return bytes.length > 0 && bytes[0] == ZLIB ? inflated(bytes) : bytes;
  }

  private static byte[] inflated(byte[] packed) {
    Inflater inflater = new Inflater();
    try {
      inflater.setInput(packed);
      ByteArrayOutputStream found = new ByteArrayOutputStream();
      byte[] part = new byte[1 << 14];
      while (!inflater.finished()) {
        int count = inflater.inflate(part);
        found.write(part, 0, count);
        if ((count == 0 && !inflater.finished()) || found.size() > MOST_MANIFEST_BYTES) {
          throw new ArtifactException(
              "cut or damaged: its manifest does not end within " + MOST_MANIFEST_BYTES
                  + " bytes");
        }
      }
      return found.toByteArray();
    } catch (DataFormatException error) {
      throw new ArtifactException("cut or damaged: " + error.getMessage(), error);
    } finally {
      inflater.end();
    }
  }

  private static ByteBuffer slice(ByteBuffer model, int start, int end) {
    ByteBuffer found = model.duplicate();
    found.limit(end);
    found.position(start);
    return found;
  }
}
