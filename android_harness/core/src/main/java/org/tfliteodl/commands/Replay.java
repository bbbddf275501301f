package org.tfliteodl.commands;

import java.io.File;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tfliteodl.DataException;
import org.tfliteodl.contract.Json;
import org.tfliteodl.contract.JsonException;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.host.FileIo;
import org.tfliteodl.host.Safetensors;
import org.tfliteodl.host.Session;
import org.tfliteodl.host.TfLiteEngine;

/**
 * Makes calls from stated states: a folder has job.json (artifact, threads, calls) and
 * given.safetensors, tensors named NUMBER/inputs/NAME and NUMBER/state/NAME; done.safetensors gets
 * NUMBER/outputs/NAME and the whole state after each call.
 */
final class Replay {
  private static final int MOST_JOB_BYTES = 1 << 24;

  private Replay() {}

  static void run(String folder) {
    File file = new File(folder, "job.json");
    try {
      Json job = Json.parse(FileIo.bytes(file, DataException::new, MOST_JOB_BYTES));
      File given = new File(folder, "given.safetensors");
      Map<String, Tensor> tensors =
          Safetensors.read(FileIo.mapped(given, DataException::new)).tensors();
      Map<String, Tensor> done = done(job, parted(tensors));
      Map<String, String> facts = new HashMap<>();
      FileIo.write(
          new File(folder, "done.safetensors"), Safetensors.written(facts, done),
          DataException::new);
    } catch (JsonException error) {
      throw new DataException(folder + " holds no job: " + error.getMessage(), error);
    }
  }

  private static Map<String, Tensor> done(Json job, Map<String, Map<String, Tensor>> given) {
    Map<String, Tensor> done = new LinkedHashMap<>();
    TfLiteEngine engine = new TfLiteEngine(job.get("threads").integer());
    try (Session session = Session.open(new File(job.get("artifact").text()), engine)) {
      List<Json> calls = job.get("calls").list();
      for (int i = 0; i < calls.size(); i++) {
        if (calls.get(i).get("state").truth()) {
          session.loadState(given.get(i + "/state"));
        }
        String signature = calls.get(i).get("signature").text();
        put(done, i + "/outputs/", session.run(signature, given.get(i + "/inputs")));
        put(done, i + "/state/", session.state(true));
      }
    }
    return done;
  }

  private static void put(Map<String, Tensor> into, String prefix, Map<String, Tensor> tensors) {
    for (Map.Entry<String, Tensor> one : tensors.entrySet()) {
      into.put(prefix + one.getKey(), one.getValue());
    }
  }

  /** Returns {NUMBER/KIND: {NAME: tensor}}. */
  private static Map<String, Map<String, Tensor>> parted(Map<String, Tensor> tensors) {
    Map<String, Map<String, Tensor>> found = new HashMap<>();
    for (Map.Entry<String, Tensor> one : tensors.entrySet()) {
      int cut = one.getKey().lastIndexOf('/');
      String part = one.getKey().substring(0, Math.max(cut, 0));
      Map<String, Tensor> own = found.get(part);
      if (own == null) {
        own = new LinkedHashMap<>();
        found.put(part, own);
      }
      own.put(one.getKey().substring(cut + 1), one.getValue());
    }
    return found;
  }
}
