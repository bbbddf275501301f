package org.tfliteodl.host;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.tfliteodl.contract.Dtype;
import org.tfliteodl.contract.Json;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;
import org.tfliteodl.contract.Vectors;

public class JournalTest {
  @Rule public TemporaryFolder temporary = new TemporaryFolder();

  @Test
  public void recordsAreThoseOfTheVectors() throws IOException {
    for (Json one : Vectors.cases("records")) {
      Map<String, Tensor> metrics = Vectors.tensors(one.get("metrics"));
      List<TensorSpec> outputs = new ArrayList<>();
      for (Map.Entry<String, Tensor> entry : metrics.entrySet()) {
        outputs.add(spec(entry.getKey(), entry.getValue(), ""));
      }
      String found =
          Records.record(
              one.get("batch").whole(), outputs, metrics, before(one.get("before")),
              one.get("ms").number());
      String name = one.get("name").text();
      assertEquals(name, numbers(one.get("line").text()), numbers(found));
      assertEquals(name, one.get("line").text(), found);
      assertNotNull(name, Journal.parse(Journal.line(found).trim()));
    }
  }

  /** Returns JSON with every number as a double. */
  private static Object numbers(String json) {
    return numbers(Json.parse(json).plain());
  }

  private static Object numbers(Object value) {
    if (value instanceof Map) {
      Map<Object, Object> found = new LinkedHashMap<>();
      for (Map.Entry<?, ?> one : ((Map<?, ?>) value).entrySet()) {
        found.put(one.getKey(), numbers(one.getValue()));
      }
      return found;
    }
    if (value instanceof List) {
      List<Object> found = new ArrayList<>();
      for (Object one : (List<?>) value) {
        found.add(numbers(one));
      }
      return found;
    }
    return value instanceof Number ? (Object) ((Number) value).doubleValue() : value;
  }

  private static TensorSpec spec(String name, Tensor tensor, String total) {
    return new TensorSpec(name, tensor.dtype(), tensor.shape(), "", null, null, null, total);
  }

  /** Returns totals of what evaluate gave: whole numbers are sums, others means. */
  private static Totals before(Json given) {
    Map<String, Tensor> outputs = new LinkedHashMap<>();
    List<TensorSpec> specs = new ArrayList<>();
    for (Map.Entry<String, Json> one : given.fields().entrySet()) {
      boolean whole = one.getValue().isWhole();
      Tensor value = Tensor.zeros(whole ? Dtype.INT32 : Dtype.FLOAT32, 1);
      value.set(0, one.getValue().number());
      outputs.put(one.getKey(), value);
      specs.add(spec(one.getKey(), value, whole ? "sum" : "mean"));
    }
    TensorSpec unused = spec("unused", Tensor.zeros(Dtype.FLOAT32, 1), "");
    Totals found = new Totals(new Signature("evaluate", Arrays.asList(unused), specs));
    found.add(outputs);
    return found;
  }

  @Test
  public void linesAreReadOrTakenForDamaged() throws IOException {
    for (Json one : Vectors.cases("lines")) {
      Json found = Journal.parse(one.get("line").text());
      String name = one.get("name").text();
      if (Vectors.isRefused(one)) {
        assertNull(name, found);
      } else {
        assertEquals(name, Json.parse(one.get("record").text()).plain(), found.plain());
      }
    }
  }

  private static String record(int batch) {
    return "{\"batch\": " + batch + ", \"loss\": 0.5, \"rejected_rows\": 0, \"ms\": 1.0}";
  }

  private File written(String... lines) throws IOException {
    File file = new File(temporary.getRoot(), Journal.RECORDS);
    Files.write(file.toPath(), String.join("", lines).getBytes(StandardCharsets.UTF_8));
    return file;
  }

  private static String content(File file) throws IOException {
    return new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8);
  }

  @Test
  public void aResumedRunKeepsWhatTheCheckpointKnows() throws IOException {
    String[] lines = new String[5];
    for (int i = 0; i < lines.length; i++) {
      lines[i] = Journal.line(record(i + 1));
    }
    File file = written(lines[0], lines[1], lines[2], lines[3], lines[4].substring(0, 9));
    List<String> notes = new ArrayList<>();
    Journal.keep(file, 3, notes::add);
    assertEquals(lines[0] + lines[1] + lines[2], content(file));
    assertEquals(1, notes.size());
    assertTrue(notes.get(0), notes.get(0).contains("damaged end was cut"));
    assertArrayEquals(new String[] {Journal.RECORDS}, temporary.getRoot().list());
  }

  @Test
  public void aDamagedRecordIsToldAndTheFileKeptBeside() throws IOException {
    String first = Journal.line(record(1));
    String second = Journal.line(record(2));
    String damaged = first.replace("0.5", "0.6") + second;
    File file = written(damaged);
    List<String> notes = new ArrayList<>();
    Journal.keep(file, 2, notes::add);
    assertEquals(second, content(file));
    assertEquals(damaged, content(new File(file.getPath() + ".damaged")));
    assertTrue(notes.get(0), notes.get(0).contains("1 of the 2 batches"));
  }
}
