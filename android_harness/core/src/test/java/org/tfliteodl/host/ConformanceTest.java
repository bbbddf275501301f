package org.tfliteodl.host;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.Test;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.CheckpointException;
import org.tfliteodl.ContractException;
import org.tfliteodl.contract.Digest;
import org.tfliteodl.contract.Dtype;
import org.tfliteodl.contract.Json;
import org.tfliteodl.contract.Manifest;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;
import org.tfliteodl.contract.Vectors;

/** What every host must do alike; see conformance/README.md. */
public class ConformanceTest {
  private static final TensorSpec UNUSED =
      new TensorSpec("unused", Dtype.FLOAT32, new int[] {1}, "", null, null, null, "");

  @Test
  public void batches() throws IOException {
    List<TensorSpec> inputs = Vectors.specs(Vectors.load("batches").get("inputs"));
    Signature signature = new Signature("train", inputs, Collections.<TensorSpec>emptyList());
    for (Json one : Vectors.cases("batches")) {
      Batch batch = new Batch();
      for (Map.Entry<String, Tensor> given : Vectors.tensors(one.get("given")).entrySet()) {
        batch.put(given.getKey(), given.getValue());
      }
      String name = one.get("name").text();
      if (Vectors.isRefused(one)) {
        assertThrows(name, ContractException.class, () -> Rows.padded(signature, batch));
        continue;
      }
      Map<String, Tensor> found = Rows.padded(signature, batch);
      signature.checkInputs(found);
      Vectors.assertSame(name, Vectors.tensors(one.get("batch")), found);
    }
  }

  @Test
  public void labels() throws IOException {
    for (Json one : Vectors.cases("labels")) {
      TensorSpec spec = Vectors.spec(one.get("spec"));
      String name = one.get("name").text();
      if (Vectors.isRefused(one)) {
        assertThrows(name, ContractException.class, () -> cast(spec, one.get("given")));
        continue;
      }
      Tensor wanted = Vectors.tensor(one.get("cast"));
      Vectors.assertSame(
          name,
          Collections.singletonMap("y", wanted),
          Collections.singletonMap("y", cast(spec, one.get("given"))));
    }
  }

  /** Casts labels as a host's user holds them: Java's are long[], double[] or tensors. */
  private static Tensor cast(TensorSpec spec, Json given) {
    String dtype = given.get("dtype").text();
    List<Double> data = Vectors.data(given);
    int[] shape = given.get("shape").ints();
    Tensor found;
    if (dtype.equals("float64")) {
      double[] values = new double[data.size()];
      for (int i = 0; i < values.length; i++) {
        values[i] = data.get(i);
      }
      found = Labels.of(spec, values, shape);
    } else if (dtype.equals("int64") || dtype.equals("uint64")) {
      long[] values = new long[data.size()];
      for (int i = 0; i < values.length; i++) {
        values[i] = data.get(i).longValue();
      }
      found = Labels.of(spec, values, shape);
    } else {
      found = Labels.cast(spec, Vectors.tensor(given));
    }
    Signature signature =
        new Signature("train", Arrays.asList(spec), Collections.<TensorSpec>emptyList());
    signature.checkInputs(Collections.singletonMap(spec.name(), found));
    return found;
  }

  @Test
  public void totals() throws IOException {
    List<TensorSpec> outputs = Vectors.specs(Vectors.load("totals").get("outputs"));
    Signature signature = new Signature("evaluate", Arrays.asList(UNUSED), outputs);
    for (Json one : Vectors.cases("totals")) {
      Totals found = new Totals(signature);
      for (Json call : one.get("calls").list()) {
        found.add(outputsOf(outputs, call));
      }
      for (Map.Entry<String, Json> wanted : one.get("totals").fields().entrySet()) {
        double[] values = found.values(wanted.getKey());
        List<Json> numbers = new ArrayList<>();
        numbers.addAll(
            wanted.getValue().isList()
                ? wanted.getValue().list()
                : Collections.singletonList(wanted.getValue()));
        assertEquals(numbers.size(), values.length);
        for (int i = 0; i < values.length; i++) {
          assertEquals(one.get("name").text(), numbers.get(i).number(), values[i], 0.0);
        }
      }
      assertThrows(ContractException.class, () -> found.values("threshold"));
    }
  }

  private static Map<String, Tensor> outputsOf(List<TensorSpec> outputs, Json call) {
    Map<String, Tensor> found = new LinkedHashMap<>();
    for (TensorSpec one : outputs) {
      Tensor value = one.zeros();
      List<Json> data = call.get(one.name()).list();
      for (int i = 0; i < data.size(); i++) {
        value.set(i, Vectors.number(data.get(i)));
      }
      found.put(one.name(), value);
    }
    return found;
  }

  @Test
  public void configure() throws IOException {
    for (Json one : Vectors.cases("configure")) {
      double value = Vectors.number(one.get("value"));
      boolean taken = Vectors.spec(one.get("spec")).allows(value);
      assertEquals(one.get("name").text(), !Vectors.isRefused(one), taken);
    }
  }

  @Test
  public void digest() throws IOException {
    for (Json one : Vectors.cases("digest")) {
      Map<String, String> facts = one.get("facts").texts();
      facts.put("sha256", "is left out");
      String found = Digest.of(facts, Vectors.tensors(one.get("tensors")));
      assertEquals(one.get("name").text(), one.get("sha256").text(), found);
    }
  }

  @Test
  public void checkpoints() throws IOException {
    Json vectors = Vectors.load("checkpoints");
    Manifest manifest = manifest(vectors);
    for (Json one : Vectors.cases("checkpoints")) {
      File file = Vectors.file(one.get("file").text());
      String name = one.get("name").text();
      if (Vectors.isRefused(one)) {
        assertThrows(name, CheckpointException.class, () -> Checkpoints.load(file, manifest));
        continue;
      }
      Checkpoint found = Checkpoints.load(file, manifest);
      Vectors.assertSame(name, Vectors.tensors(one.get("tensors")), found.state());
      assertEquals(one.get("facts").get("step").text(), String.valueOf(found.step()));
      assertEquals(one.get("facts").get("position").text(), String.valueOf(found.position()));
    }
  }

  /** Returns a manifest of the vectors' artifact and state, without a signature. */
  static Manifest manifest(Json vectors) {
    StringBuilder text = new StringBuilder("{\"contract_version\": 2, \"artifact_id\": \"");
    text.append(vectors.get("artifact_id").text());
    text.append("\", \"method\": {\"name\": \"none\"}, \"signatures\": {}, \"state\": [");
    String comma = "";
    for (Json one : vectors.get("state").list()) {
      text.append(comma).append("{\"name\": \"").append(one.get("name").text());
      text.append("\", \"dtype\": \"").append(one.get("dtype").text()).append("\", \"shape\": ");
      text.append(Arrays.toString(one.get("shape").ints())).append('}');
      comma = ", ";
    }
    return Manifest.parse(text.append("]}").toString().getBytes(StandardCharsets.UTF_8));
  }

  @Test
  public void manifests() throws IOException {
    for (Json one : Vectors.cases("manifests")) {
      File file = Vectors.file(one.get("file").text());
      ByteBuffer model = FileIo.read(file, ArtifactException::new, FileIo.LARGEST_BYTES);
      String name = one.get("name").text();
      if (Vectors.isRefused(one)) {
        assertThrows(name, ArtifactException.class, () -> Embedded.manifest(model, "file"));
        continue;
      }
      int[] place = Embedded.place(model);
      if (one.get("start").isNull()) {
        assertNull(name, place);
        continue;
      }
      assertArrayEquals(
          name, new int[] {one.get("start").integer(), one.get("length").integer()}, place);
      assertEquals(name, one.get("seal").text(), hex(Embedded.seal(model, place)));
      ByteBuffer content = model.duplicate();
      content.limit(place[0] + place[1] - Embedded.SEAL_BYTES);
      content.position(place[0]);
      String text = new String(Embedded.text(content), StandardCharsets.UTF_8);
      assertEquals(name, one.get("text").text(), text);
    }
  }

  private static String hex(byte[] bytes) {
    StringBuilder found = new StringBuilder();
    for (byte one : bytes) {
      found.append(String.format("%02x", one));
    }
    return found.toString();
  }

  @Test
  public void paths() throws IOException {
    File folder = new File(System.getProperty("java.io.tmpdir"));
    for (Json one : Vectors.cases("paths")) {
      String path = one.get("path").text();
      if (Vectors.isRefused(one)) {
        assertThrows(path, ArtifactException.class, () -> Paths.inside(folder, path));
      } else {
        assertEquals(new File(folder, path), Paths.inside(folder, path));
      }
    }
  }
}
