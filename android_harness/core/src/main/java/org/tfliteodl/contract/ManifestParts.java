package org.tfliteodl.contract;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The manifest's signatures and tensors, out of JSON. */
final class ManifestParts {
  private ManifestParts() {}

  static Map<String, Signature> signatures(Json json) {
    Map<String, Signature> found = new LinkedHashMap<>();
    for (Map.Entry<String, Json> entry : json.fields().entrySet()) {
      Json one = entry.getValue();
      List<TensorSpec> inputs = specs(one.get("inputs"));
      found.put(entry.getKey(), new Signature(entry.getKey(), inputs, specs(one.get("outputs"))));
    }
    return found;
  }

  static List<TensorSpec> specs(Json json) {
    List<TensorSpec> found = new ArrayList<>();
    for (Json one : json.list()) {
      found.add(spec(one));
    }
    return found;
  }

  static TensorSpec spec(Json json) {
    return new TensorSpec(
        json.get("name").text(),
        Dtype.of(json.get("dtype").text()),
        json.get("shape").ints(),
        text(json, "role"),
        number(json, "fill"),
        number(json, "low"),
        number(json, "high"),
        text(json, "total"));
  }

  private static String text(Json json, String name) {
    return json.has(name) ? json.get(name).text() : "";
  }

  /** Returns a number, null where there is none; JSON has no NaN, so a text stands for it. */
  private static Double number(Json json, String name) {
    Json found = json.find(name);
    if (found == null) {
      return null;
    }
    return found.isText() && found.text().equals("NaN") ? Double.NaN : found.number();
  }
}
