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
  private static final String X = "x";
  private static final String Y = "y";

  private final Map<String, Tensor> tensors = new LinkedHashMap<>();

  /** Returns a batch of features alone. */
  public static Batch of(Tensor x) {
    return new Batch().put(X, x);
  }

  /** Returns a batch of features and labels. */
  public static Batch of(Tensor x, Tensor y) {
    return new Batch().put(X, x).put(Y, y);
  }

  /**
   * Adds an input.
   *
   * @param name of the input; "x" stands for the only feature and "y" for the only label, where
   *     the signature has no input of that name
   * @param tensor [rows, ...]; of role count: how many of the rows are real, [1]
   */
  public Batch put(String name, Tensor tensor) {
    tensors.put(name, tensor);
    return this;
  }

  /** Returns the inputs as they were given. */
  public Map<String, Tensor> tensors() {
    return Collections.unmodifiableMap(tensors);
  }

  /** Returns the tensor of an input of a signature; null: it was left out. */
  Tensor tensor(Signature signature, String name) {
    Tensor found = tensors.get(name);
    if (found != null) {
      return found;
    }
    if (tensors.containsKey(X) && name.equals(alias(signature, X, Names.FEATURE))) {
      return tensors.get(X);
    }
    boolean label = tensors.containsKey(Y) && name.equals(alias(signature, Y, Names.LABEL));
    return label ? tensors.get(Y) : null;
  }

  /**
   * Throws ContractException if a name is none of the signature's.
   *
   * @param extra names that are taken besides its inputs
   */
  void checkNames(Signature signature) {
    for (String name : tensors.keySet()) {
      if (signature.input(name) != null) {
        continue;
      }
      boolean known = name.equals(X) || name.equals(Y);
      if (!known) {
        throw new ContractException(
            "signature '" + signature.name() + "' needs inputs " + signature.inputNames()
                + ", missing [], unknown [" + name + "]");
      }
      String role = name.equals(X) ? Names.FEATURE : Names.LABEL;
      if (alias(signature, name, role) == null) {
        throw new ContractException(
            "signature '" + signature.name() + "' has " + signature.inputsOf(role) + " of role '"
                + role + "', not one that " + name + " could be: give them by their names");
      }
    }
  }

  /** Returns the only input of a role where there is no input of the name; null: none is. */
  private static String alias(Signature signature, String name, String role) {
    if (signature.input(name) != null) {
      return null;
    }
    List<String> candidates = signature.inputsOf(role);
    return candidates.size() == 1 ? candidates.get(0) : null;
  }
}
