package org.tfliteodl.host;

import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.contract.Manifest;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.TensorSpec;

/** Holds a model's signatures against its manifest, before any runtime parses it. */
final class ModelCheck {
  // Fields of the TFLite schema's tables, by their place in it.
  private static final int MODEL_SUBGRAPHS = 2;
  private static final int MODEL_SIGNATURES = 7;
  private static final int SIGNATURE_INPUTS = 0;
  private static final int SIGNATURE_OUTPUTS = 1;
  private static final int SIGNATURE_KEY = 2;
  private static final int SIGNATURE_SUBGRAPH = 4;
  private static final int MAP_NAME = 0;
  private static final int MAP_TENSOR = 1;
  private static final int SUBGRAPH_TENSORS = 0;
  private static final int TENSOR_SHAPE = 0;
  private static final int TENSOR_TYPE = 1;

  private final Tables tables;
  private final long root;

  private ModelCheck(ByteBuffer model) {
    tables = new Tables(model);
    root = tables.follow(0);
  }

  /**
   * Compares signatures, their tensors' names, shapes and dtypes with the manifest.
   *
   * @throws ArtifactException naming the first tensor that differs, what was expected and found
   */
  static void check(ByteBuffer model, Manifest manifest) {
    new ModelCheck(model).check(manifest);
  }

  private void check(Manifest manifest) {
    Map<String, Long> entries = new LinkedHashMap<>();
    for (long i = 0; i < tables.count(root, MODEL_SIGNATURES); i++) {
      long entry = tables.element(root, MODEL_SIGNATURES, i);
      entries.put(tables.text(entry, SIGNATURE_KEY), entry);
    }
    if (!entries.keySet().equals(manifest.signatures().keySet())) {
      throw new ArtifactException(
          "the manifest has signatures " + new TreeSet<>(manifest.signatures().keySet())
              + ", the model " + new TreeSet<>(entries.keySet()));
    }
    for (Signature one : manifest.signatures().values()) {
      long entry = entries.get(one.name());
      compare("input of '" + one.name() + "'", one.inputs(), tensors(entry, SIGNATURE_INPUTS));
      compare("output of '" + one.name() + "'", one.outputs(), tensors(entry, SIGNATURE_OUTPUTS));
    }
  }

  private static void compare(String what, List<TensorSpec> specs, Map<String, String> found) {
    Map<String, String> expected = new LinkedHashMap<>();
    for (TensorSpec one : specs) {
      expected.put(one.name(), one.toString().substring(one.name().length() + 1));
    }
    Set<String> names = new LinkedHashSet<>(expected.keySet());
    names.addAll(found.keySet());
    for (String name : names) {
      String wanted = expected.containsKey(name) ? expected.get(name) : "none";
      String there = found.containsKey(name) ? found.get(name) : "none";
      if (!wanted.equals(there)) {
        throw new ArtifactException(
            what + ", tensor '" + name + "': the manifest has " + wanted + ", the model "
                + there);
      }
    }
  }

  private Map<String, String> tensors(long entry, int side) {
    long number = tables.value(entry, SIGNATURE_SUBGRAPH, 4);
    long subgraph = tables.element(root, MODEL_SUBGRAPHS, number);
    Map<String, String> found = new LinkedHashMap<>();
    for (long i = 0; i < tables.count(entry, side); i++) {
      long pair = tables.element(entry, side, i);
      long index = tables.value(pair, MAP_TENSOR, 4);
      long tensor = tables.element(subgraph, SUBGRAPH_TENSORS, index);
      String shape = tables.integers(tensor, TENSOR_SHAPE);
      found.put(tables.text(pair, MAP_NAME), shape + " " + dtype(tensor));
    }
    return found;
  }

  private String dtype(long tensor) {
    int type = (int) tables.value(tensor, TENSOR_TYPE, 1);
    switch (type) {
      case 0:
        return "float32";
      case 2:
        return "int32";
      case 3:
        return "uint8";
      case 6:
        return "bool";
      case 9:
        return "int8";
      default:
        return "type " + type;
    }
  }
}
