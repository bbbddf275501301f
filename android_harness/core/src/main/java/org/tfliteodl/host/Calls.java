package org.tfliteodl.host;

import java.util.HashMap;
import java.util.Map;
import org.tfliteodl.contract.Manifest;

/** The calls of one runner, each prepared when it is first made. */
final class Calls {
  private final Runner runner;
  private final Manifest manifest;
  private final Map<String, Call> prepared = new HashMap<>();

  Calls(Runner runner, Manifest manifest) {
    this.runner = runner;
    this.manifest = manifest;
  }

  Call call(String signature) {
    Call found = prepared.get(signature);
    if (found == null) {
      found = runner.prepare(manifest.signature(signature));
      prepared.put(signature, found);
    }
    return found;
  }

  void close() {
    runner.close();
  }
}
