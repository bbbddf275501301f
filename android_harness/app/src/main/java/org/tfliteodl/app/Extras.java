package org.tfliteodl.app;

import android.os.BaseBundle;
import android.os.Bundle;
import java.util.LinkedHashMap;
import java.util.Map;
import org.tfliteodl.run.Request;

/** Requests as extras of intents and jobs: by `am start`, from the screen, from the system. */
final class Extras {
  private Extras() {}

  /**
   * Returns what extras of any kind ask for.
   *
   * @throws org.tfliteodl.ContractException they ask for nothing that can be done
   */
  static Request request(BaseBundle extras) {
    return new Request(values(extras));
  }

  static Map<String, String> values(BaseBundle extras) {
    Map<String, String> found = new LinkedHashMap<>();
    if (extras != null) {
      for (String name : extras.keySet()) {
        found.put(name, text(extras, name));
      }
    }
    return found;
  }

  // What `am start` types are is not known ahead: texts, numbers, booleans.
  @SuppressWarnings("deprecation")
  private static String text(BaseBundle extras, String name) {
    return String.valueOf(extras.get(name));
  }

  static Bundle bundle(Request request) {
    Bundle found = new Bundle();
    for (Map.Entry<String, String> one : request.values().entrySet()) {
      found.putString(one.getKey(), one.getValue());
    }
    return found;
  }
}
