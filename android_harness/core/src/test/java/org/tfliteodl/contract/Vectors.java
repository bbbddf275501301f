package org.tfliteodl.contract;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The vectors of conformance/, which hosts in every language must meet. */
public final class Vectors {
  private static final File FOLDER = new File(System.getProperty("conformance"));

  private Vectors() {}

  public static Json load(String name) throws IOException {
    return Json.parse(Files.readAllBytes(new File(FOLDER, name + ".json").toPath()));
  }

  public static List<Json> cases(String name) throws IOException {
    List<Json> found = load(name).get("cases").list();
    assertTrue(name + " has no cases", !found.isEmpty());
    return found;
  }

  public static boolean isRefused(Json one) {
    return one.has("refused") && one.get("refused").truth();
  }

  public static File file(String name) {
    return new File(FOLDER, "files/" + name);
  }

  public static TensorSpec spec(Json about) {
    return ManifestParts.spec(about);
  }

  public static List<TensorSpec> specs(Json about) {
    return ManifestParts.specs(about);
  }

  /** Returns a tensor of one of the contract's dtypes. */
  public static Tensor tensor(Json about) {
    Dtype dtype = Dtype.of(about.get("dtype").text());
    Tensor found = Tensor.zeros(dtype, about.get("shape").ints());
    List<Double> data = data(about);
    assertEquals(found.count(), data.size());
    for (int i = 0; i < data.size(); i++) {
      found.set(i, data.get(i));
    }
    return found;
  }

  public static List<Double> data(Json about) {
    List<Double> found = new ArrayList<>();
    for (Json one : about.get("data").list()) {
      found.add(number(one));
    }
    return found;
  }

  public static double number(Json one) {
    if (one.plain() instanceof Boolean) {
      return one.truth() ? 1 : 0;
    }
    return one.isText() ? Double.parseDouble(one.text()) : one.number();
  }

  public static Map<String, Tensor> tensors(Json about) {
    Map<String, Tensor> found = new LinkedHashMap<>();
    for (Map.Entry<String, Json> entry : about.fields().entrySet()) {
      found.put(entry.getKey(), tensor(entry.getValue()));
    }
    return found;
  }

  public static void assertSame(
      String what, Map<String, Tensor> wanted, Map<String, Tensor> found) {
    assertEquals(what, wanted.keySet(), found.keySet());
    for (String name : wanted.keySet()) {
      Tensor one = wanted.get(name);
      Tensor other = found.get(name);
      assertTrue(what + ", " + name + " " + one, one.fits(other.dtype(), other.shape()));
      for (int i = 0; i < one.count(); i++) {
        assertEquals(what + ", " + name, one.get(i), found.get(name).get(i), 0.0);
      }
    }
  }
}
