package org.tfliteodl.host;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.tfliteodl.DataException;
import org.tfliteodl.contract.Json;
import org.tfliteodl.contract.JsonException;

/** What a run was started with, noted in its folder: it continues with the same. */
public final class Facts {
  public static final String FILE = "run.json";
  private static final int MOST_BYTES = 1 << 20;

  private Facts() {}

  /**
   * Notes what a run was started with, or compares.
   *
   * @param facts what a resumed run must share with its beginning, such as the stream's sha256
   * @throws DataException the folder's run was started with others, or cannot be written
   */
  public static void note(File folder, Map<String, String> facts) {
    File file = new File(folder, FILE);
    if (!FileIo.exists(file)) {
      FileIo.told(
          DataException::new,
          "cannot write to " + folder,
          () -> java.nio.file.Files.createDirectories(folder.toPath()));
      FileIo.write(file, Collections.singletonList(written(facts)), DataException::new);
      return;
    }
    Map<String, String> noted = read(folder);
    for (Map.Entry<String, String> one : facts.entrySet()) {
      if (!one.getValue().equals(noted.get(one.getKey()))) {
        throw new DataException(
            folder + " holds a run with " + one.getKey() + " " + noted.get(one.getKey()) + ", got "
                + one.getValue() + ": continue with the same, or take another folder");
      }
    }
  }

  /** Returns what was noted; throws DataException where that is not there, or damaged. */
  public static Map<String, String> read(File folder) {
    File file = new File(folder, FILE);
    try {
      Json json = Json.parse(FileIo.bytes(file, DataException::new, MOST_BYTES));
      Map<String, String> found = new LinkedHashMap<>();
      for (Map.Entry<String, Json> one : json.fields().entrySet()) {
        found.put(one.getKey(), String.valueOf(one.getValue().plain()));
      }
      return found;
    } catch (JsonException error) {
      throw new DataException(file + " is damaged: " + error.getMessage(), error);
    }
  }

  private static ByteBuffer written(Map<String, String> facts) {
    StringBuilder text = new StringBuilder("{");
    String comma = "";
    for (Map.Entry<String, String> one : facts.entrySet()) {
      JsonWriter.text(text.append(comma), one.getKey()).append(": ");
      JsonWriter.text(text, one.getValue());
      comma = ", ";
    }
    return ByteBuffer.wrap(text.append('}').toString().getBytes(StandardCharsets.UTF_8));
  }
}
