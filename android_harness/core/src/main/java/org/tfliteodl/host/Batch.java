package org.tfliteodl.host;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tfliteodl.ContractException;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;

/**
 * Rows as an app hands them over: any number of them, each input by its name.
 *
 * <p>A batch may be kept and its tensors filled anew for each step; sessions copy.
 */
public final class Batch {
  private final Map<String, Tensor> tensors = new LinkedHashMap<>();
  // What was checked against a signature last, to be used again.
  private Rows checked;
  private final Tensor x;
  private final Tensor y;

  /** Makes an empty batch, to {@link #put} inputs into. */
  public Batch() {
    this(null, null);
  }

  private Batch(Tensor x, Tensor y) {
    this.x = x;
    this.y = y;
  }

  /** Returns a batch of features: the input "x" if there is one, else the only feature. */
  public static Batch of(Tensor x) {
    return new Batch(x, null);
  }

  /**
   * Returns a batch of features and labels.
   *
   * @param x the input "x" if there is one, else the only feature
   * @param y the input "y" if there is one, else the only label
   */
  public static Batch of(Tensor x, Tensor y) {
    return new Batch(x, y);
  }

  /**
   * Adds an input.
   *
   * @param name of the input
   * @param tensor [rows, ...]; of role count: how many of the rows are real, [1]
   */
  public Batch put(String name, Tensor tensor) {
    tensors.put(name, tensor);
    checked = null;
    return this;
  }

  /** Returns the rows as they were checked against a signature before; null: they were not. */
  Rows checked(Signature signature) {
    Rows found = checked;
    return found != null && found.signature() == signature ? found : null;
  }

  void keep(Rows rows) {
    checked = rows;
  }

  /** Returns the same batch without {@code y}, for methods that learn without labels. */
  Batch withoutLabels() {
    if (y == null) {
      return this;
    }
    Batch found = new Batch(x, null);
    found.tensors.putAll(tensors);
    return found;
  }

  /** Returns the tensors of a signature's inputs by name, those that are given. */
  Map<String, Tensor> named(Signature signature) {
    if (x == null && y == null) {
      return Collections.unmodifiableMap(tensors);
    }
    Map<String, Tensor> found = new LinkedHashMap<>(tensors);
    if (x != null) {
      found.put(only(signature, "x", Names.FEATURE), x);
    }
    if (y != null) {
      found.put(only(signature, "y", Names.LABEL), y);
    }
    return found;
  }

  private static String only(Signature signature, String name, String role) {
    if (signature.input(name) != null) {
      return name;
    }
    List<String> candidates = signature.inputsOf(role);
    if (candidates.size() != 1) {
      throw new ContractException(
          "signature '" + signature.name() + "' has " + candidates + " of role '" + role
              + "', not one that " + name + " could be: give them by their names");
    }
    return candidates.get(0);
  }
}
