package org.tfliteodl.streams;

import java.io.File;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.tfliteodl.DataException;
import org.tfliteodl.contract.Digest;
import org.tfliteodl.contract.JsonException;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.host.FileIo;
import org.tfliteodl.host.Safetensors;

/** The packed stream file: named tensors one after the other, mapped into memory. */
public final class PackedStream {
  private final File file;
  private final Safetensors content;

  private PackedStream(File file, Safetensors content) {
    this.file = file;
    this.content = content;
  }

  /**
   * Maps a file; it is read once, for its checksum.
   *
   * @throws DataException the file is no packed stream, is damaged, or has no checksum
   */
  public static PackedStream open(File file) {
    ByteBuffer mapped = FileIo.mapped(file, DataException::new);
    Safetensors content;
    try {
      content = Safetensors.read(mapped);
    } catch (JsonException error) {
      throw new DataException(file + " is no packed stream: " + error.getMessage(), error);
    }
    if (!content.facts().containsKey(Digest.FIELD)) {
      throw new DataException(file + " has no checksum: an older version wrote it");
    }
    if (!content.isWhole()) {
      throw new DataException(file + " is damaged: its sha256 does not fit its content");
    }
    return new PackedStream(file, content);
  }

  /** Returns the tensors by name, such as x_train and y_train; not to be written to. */
  public Map<String, Tensor> tensors() {
    return Collections.unmodifiableMap(content.tensors());
  }

  /** Returns a tensor; throws DataException naming those there are. */
  public Tensor tensor(String name) {
    Tensor found = content.tensors().get(name);
    if (found == null) {
      throw new DataException(
          file + " has no tensor '" + name + "', it has " + content.tensors().keySet());
    }
    return found;
  }

  /** Returns what the header says about the tensors, its sha256 among them. */
  public Map<String, String> facts() {
    return Collections.unmodifiableMap(content.facts());
  }

  /** Returns the names of the classes, none where the file names none. */
  public List<String> classes() {
    String found = content.facts().get("classes");
    boolean none = found == null || found.isEmpty();
    return none ? Collections.<String>emptyList() : Arrays.asList(found.split("\n", -1));
  }
}
