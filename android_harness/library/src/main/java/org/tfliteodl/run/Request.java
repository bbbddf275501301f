package org.tfliteodl.run;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.tfliteodl.ContractException;

/** What a run is asked to do: names and values, as an intent's extras or words bring them. */
public final class Request {
  /** The stream that is no file: accelerometer and gyroscope, live. */
  public static final String SENSORS = "sensors";

  private final Map<String, String> values;

  /**
   * Takes values by name; a name is optional unless it is said.
   *
   * <pre>
   * run        name of the folder for its results; needed
   * artifact   name of a folder among the artifacts; needed
   * stream     name of a file among the streams, or "sensors"; needed
   * steps      batches in all, those before a pause included (100)
   * every      batches between checkpoints (100)
   * threads    of the CPU kernels (2)
   * settings   name=number,... for configure, before the first step
   * label      of the sensors' rows; -1: they have none (-1)
   * charging   whether to train only while the phone is charging (false)
   * idle       whether to train only while nobody uses the phone (false)
   * </pre>
   *
   * @throws ContractException a name is missing, or a value is not of its kind
   */
  public Request(Map<String, String> values) {
    this.values = new LinkedHashMap<>(values);
    for (String name : new String[] {"run", "artifact", "stream"}) {
      checkName(name, values.get(name));
    }
    for (String name : new String[] {"steps", "every", "threads"}) {
      if (number(name) < 1) {
        throw new ContractException(name + " is " + number(name) + ", needs 1 or more");
      }
    }
    label();
    settings();
  }

  private static void checkName(String what, String name) {
    boolean plain =
        name != null && !name.isEmpty() && !name.startsWith(".") && name.indexOf('/') < 0;
    if (!plain) {
      throw new ContractException("needs the name of a " + what + " without /, got " + name);
    }
  }

  public String run() {
    return values.get("run");
  }

  public String artifact() {
    return values.get("artifact");
  }

  public String stream() {
    return values.get("stream");
  }

  public boolean isLive() {
    return stream().equals(SENSORS);
  }

  public int steps() {
    return number("steps");
  }

  public int every() {
    return number("every");
  }

  public int threads() {
    return number("threads");
  }

  public int label() {
    return number("label");
  }

  public boolean charging() {
    return Boolean.parseBoolean(values.get("charging"));
  }

  public boolean idle() {
    return Boolean.parseBoolean(values.get("idle"));
  }

  /** Returns hyper-parameters by name. */
  public Map<String, Double> settings() {
    String text = values.get("settings");
    if (text == null || text.isEmpty()) {
      return Collections.emptyMap();
    }
    Map<String, Double> found = new LinkedHashMap<>();
    for (String one : text.split(",")) {
      int sign = one.indexOf('=');
      try {
        found.put(one.substring(0, Math.max(sign, 0)), Double.valueOf(one.substring(sign + 1)));
      } catch (NumberFormatException error) {
        throw new ContractException("settings: '" + one + "' needs name=number", error);
      }
    }
    return found;
  }

  /** Returns the values as they were given, so that another process can be asked the same. */
  public Map<String, String> values() {
    return Collections.unmodifiableMap(values);
  }

  private int number(String name) {
    String text = values.get(name);
    if (text == null) {
      return name.equals("label") ? -1 : name.equals("threads") ? 2 : 100;
    }
    try {
      return Integer.parseInt(text);
    } catch (NumberFormatException error) {
      throw new ContractException(name + " is '" + text + "', needs a whole number", error);
    }
  }
}
