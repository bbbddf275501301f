package org.tfliteodl.bake;

import java.util.List;
import java.util.Map;
import org.tfliteodl.contract.Json;

/** How one weight of a serving twin is made of tensors of the state and of the twin. */
interface Recipe {
  /** Returns the names of the arrays it reads. */
  List<String> sources();

  /** Returns the weight. */
  Floats value(Map<String, Floats> weights);

  /** Reads the manifest's words. */
  static Recipe read(Json json) {
    return json.has("range") ? Range.read(json) : Formula.read(json);
  }
}
