package org.tfliteodl.run;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.tfliteodl.DataException;
import org.tfliteodl.host.FileIo;
import org.tfliteodl.host.Goldens;
import org.tfliteodl.host.JsonWriter;
import org.tfliteodl.host.Totals;

/** What a run says of itself, in a file that is always whole, for whoever follows it. */
public final class Status {
  public static final String FILE = "status.json";

  /** What a run is doing: {@code DONE} and {@code FAILED} are its last words. */
  public enum State {
    STARTING,
    WAITING,
    RUNNING,
    PAUSED,
    DONE,
    FAILED
  }

  private final File file;
  private final Map<String, String> fields = new LinkedHashMap<>();
  private State state = State.STARTING;
  private long batch;

  Status(File folder) {
    file = new File(folder, FILE);
  }

  public synchronized State state() {
    return state;
  }

  public synchronized long batch() {
    return batch;
  }

  /** Returns the error, or "" where there is none. */
  public synchronized String error() {
    return fields.containsKey("error") ? fields.get("error") : "";
  }

  /** Returns a line for people. */
  public synchronized String told() {
    StringBuilder text = new StringBuilder(state.name().toLowerCase(Locale.ROOT));
    text.append(", batch ").append(batch);
    for (String name : new String[] {"waiting", "error", "goldens", "before", "after"}) {
      if (fields.containsKey(name)) {
        text.append('\n').append(name).append(' ').append(plain(fields.get(name)));
      }
    }
    return text.toString();
  }

  /** Returns JSON without its signs, its numbers with three decimals. */
  private static String plain(String json) {
    return json.replaceAll("[{}\"]", "").replaceAll("(\\.\\d{3})\\d+", "$1");
  }

  /** Returns the file's content. */
  public synchronized String toJson() {
    StringBuilder text = new StringBuilder("{\"state\": \"");
    text.append(state.name().toLowerCase(Locale.ROOT));
    text.append("\", \"batch\": ").append(batch);
    for (Map.Entry<String, String> one : fields.entrySet()) {
      JsonWriter.text(text.append(", "), one.getKey()).append(": ").append(one.getValue());
    }
    return text.append('}').toString();
  }

  synchronized void enter(State next) {
    state = next;
    write();
  }

  synchronized void at(long position) {
    batch = position;
  }

  synchronized void fail(String error) {
    put("error", error);
    enter(State.FAILED);
  }

  synchronized void put(String name, String text) {
    fields.put(name, JsonWriter.text(new StringBuilder(), text).toString());
  }

  synchronized void put(String name, long number) {
    fields.put(name, String.valueOf(number));
  }

  synchronized void put(String name, Totals totals) {
    StringBuilder text = new StringBuilder("{");
    for (String one : totals.names()) {
      if (totals.values(one).length == 1) {
        JsonWriter.text(text.append(text.length() == 1 ? "" : ", "), one).append(": ");
        JsonWriter.number(text, totals.get(one), false);
      }
    }
    fields.put(name, text.append('}').toString());
  }

  synchronized void put(String name, List<Goldens.Result> goldens) {
    int passed = 0;
    for (Goldens.Result one : goldens) {
      passed += one.passed ? 1 : 0;
    }
    fields.put(name, "{\"passed\": " + passed + ", \"all\": " + goldens.size() + "}");
  }

  synchronized void write() {
    ByteBuffer content = ByteBuffer.wrap(toJson().getBytes(StandardCharsets.UTF_8));
    FileIo.write(file, Collections.singletonList(content), DataException::new);
  }
}
