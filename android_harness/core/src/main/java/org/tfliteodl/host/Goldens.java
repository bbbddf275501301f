package org.tfliteodl.host;

import java.io.File;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.ContractException;
import org.tfliteodl.contract.Dtype;
import org.tfliteodl.contract.Json;
import org.tfliteodl.contract.JsonException;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;

/** Repeats an artifact's golden calls on this device's runtime. */
public final class Goldens {
  private static final String INDEX_FILE = "index.json";
  private static final int MOST_INDEX_BYTES = 1 << 24;
  private static final String SHIPPED = "shipped_state_with";

  private final Artifact artifact;
  private final File folder;
  private final Json tensors;
  private final Session session;
  private final Map<String, Tensor> shipped;

  private Goldens(Artifact artifact, File folder, Json index, Session session) {
    this.artifact = artifact;
    this.folder = folder;
    this.tensors = index.get("tensors");
    this.session = session;
    this.shipped = session.state(true);
  }

  /** One output of one golden call: its largest error and whether that is allowed. */
  public static final class Result {
    public final int call;
    public final String signature;
    public final String output;
    public final double error;
    public final boolean passed;
    public final String reason;

    Result(int call, String signature, String output, double error, boolean passed, String why) {
      this.call = call;
      this.signature = signature;
      this.output = output;
      this.error = error;
      this.passed = passed;
      this.reason = why;
    }

    /** Returns it as JSON, by the names that Python's host gives it. */
    public String toJson() {
      StringBuilder text = new StringBuilder("{\"call\": ").append(call);
      JsonWriter.text(text.append(", \"signature\": "), signature).append(", \"output\": ");
      JsonWriter.text(text, output).append(", \"error\": ").append(error);
      text.append(", \"passed\": ").append(passed).append(", \"reason\": ");
      return JsonWriter.text(text, reason).append('}').toString();
    }

    @Override
    public String toString() {
      return "call " + call + ", " + signature + ", " + output + ": error " + error
          + (passed ? "" : ", too large: ") + (passed ? "" : reason);
    }
  }

  /**
   * Makes the golden calls in order on a fresh session and compares every output.
   *
   * <p>A call that names changes of the shipped state begins from there, the others from what the
   * call before has made.
   *
   * @throws ArtifactException there are no goldens, or one of their files is damaged or not in
   *     their folder
   * @throws ContractException a call does not fit its signature
   */
  public static List<Result> check(Artifact artifact, Engine engine) {
    if (artifact.folder() == null) {
      throw new ArtifactException("a bare model has no goldens: open the artifact's folder");
    }
    File folder = new File(artifact.folder(), Names.GOLDENS_FOLDER);
    File index = new File(folder, INDEX_FILE);
    try (Session session = Session.open(artifact, engine)) {
      Json json =
          Json.parse(FileIo.bytes(index, ArtifactException::new, MOST_INDEX_BYTES));
      List<Json> calls = json.get("steps").list();
      if (calls.isEmpty()) {
        throw new ArtifactException(index + " has no calls: nothing is shown");
      }
      Goldens goldens = new Goldens(artifact, folder, json, session);
      List<Result> results = new ArrayList<>();
      for (int i = 0; i < calls.size(); i++) {
        goldens.repeat(i, calls.get(i), results);
      }
      return results;
    } catch (JsonException error) {
      throw new ArtifactException(index + " is malformed: " + error.getMessage(), error);
    }
  }

  private void repeat(int number, Json call, List<Result> results) {
    if (call.has(SHIPPED)) {
      Map<String, Tensor> state = new LinkedHashMap<>(shipped);
      state.putAll(read(call.get(SHIPPED)));
      session.loadState(state);
    }
    Signature signature = artifact.manifest().signature(call.get("signature").text());
    Map<String, Tensor> outputs = session.run(signature.name(), read(call.get("inputs")));
    Map<String, Json> goldens = call.get("outputs").fields();
    for (Map.Entry<String, Json> one : goldens.entrySet()) {
      if (signature.output(one.getKey()) == null) {
        throw new ContractException(
            "signature '" + signature.name() + "' has no output '" + one.getKey() + "'");
      }
      Json about = one.getValue();
      Tensor golden = tensor(about.get("file").text());
      results.add(compared(number, signature.name(), one.getKey(), outputs, golden, about));
    }
    for (TensorSpec one : signature.outputs()) {
      if (!goldens.containsKey(one.name())) {
        String why = "the goldens do not know it";
        results.add(
            new Result(
                number, signature.name(), one.name(), Double.POSITIVE_INFINITY, false, why));
      }
    }
  }

  private static Result compared(
      int number, String signature, String name, Map<String, Tensor> outputs, Tensor golden,
      Json about) {
    Tensor value = outputs.get(name);
    double rtol = tolerance(about, "rtol");
    double atol = tolerance(about, "atol");
    double worst = 0;
    boolean passed = value.fits(golden.dtype(), golden.shape());
    for (int i = 0; i < Math.min(value.count(), golden.count()); i++) {
      double is = value.get(i);
      double should = golden.get(i);
      if (is == should || (Double.isNaN(is) && Double.isNaN(should))) {
        continue;
      }
      double error = Math.abs(is - should);
      boolean finite = !Double.isNaN(error) && !Double.isInfinite(should);
      passed &= finite && error <= atol + rtol * Math.abs(should);
      worst = Math.max(worst, Double.isNaN(error) ? Double.POSITIVE_INFINITY : error);
    }
    return new Result(number, signature, name, worst, passed, about.get("reason").text());
  }

  private static double tolerance(Json about, String name) {
    double found = about.get(name).number();
    if (!(found >= 0) || Double.isInfinite(found)) {
      throw new JsonException(name + " is " + found);
    }
    return found;
  }

  private Map<String, Tensor> read(Json names) {
    Map<String, Tensor> found = new LinkedHashMap<>();
    for (Map.Entry<String, Json> one : names.fields().entrySet()) {
      found.put(one.getKey(), tensor(one.getValue().text()));
    }
    return found;
  }

  private Tensor tensor(String file) {
    Json about = tensors.get(file);
    Dtype dtype = Dtype.of(about.get("dtype").text());
    int[] shape = about.get("shape").ints();
    File path = Paths.inside(folder, file);
    TensorSpec spec = new TensorSpec("golden", dtype, shape, "", null, null, null, "");
    long bytes = (long) spec.count() * dtype.bytes();
    ByteBuffer content = FileIo.read(path, ArtifactException::new, bytes);
    if (content.remaining() != bytes) {
      throw new ArtifactException(
          path + " is cut: " + content.remaining() + " bytes, needs " + bytes);
    }
    return Tensor.view(dtype, content, shape);
  }
}
