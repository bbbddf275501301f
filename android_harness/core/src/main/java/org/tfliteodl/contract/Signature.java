package org.tfliteodl.contract;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.tfliteodl.ContractException;

/** One entry point of an artifact: its inputs and outputs, in a fixed order. */
public final class Signature {
  private final String name;
  private final List<TensorSpec> inputs;
  private final List<TensorSpec> outputs;

  /**
   * @throws ContractException a name breaks the contract or occurs twice, there is no input, or a
   *     mean has no count to go by
   */
  public Signature(String name, List<TensorSpec> inputs, List<TensorSpec> outputs) {
    this.name = name;
    this.inputs = Collections.unmodifiableList(new ArrayList<>(inputs));
    this.outputs = Collections.unmodifiableList(new ArrayList<>(outputs));
    if (!Names.isName(name)) {
      throw new ContractException(
          "signature '" + name + "': letters, digits and '_' are allowed, beginning with a letter");
    }
    if (inputs.isEmpty()) {
      throw new ContractException("signature '" + name + "' has no input: Java needs one");
    }
    checkUnique("inputs of signature '" + name + "'", inputs);
    checkUnique("outputs of signature '" + name + "'", outputs);
    for (TensorSpec one : outputs) {
      if (one.total().equals(Names.MEAN) && output(Names.COUNT) == null) {
        throw new ContractException(
            "signature '" + name + "': output '" + one.name() + "' is a mean by 'count', which is "
                + "no output");
      }
    }
  }

  static void checkUnique(String what, List<TensorSpec> specs) {
    Set<String> seen = new HashSet<>();
    Set<String> twice = new TreeSet<>();
    for (TensorSpec one : specs) {
      if (!seen.add(one.name())) {
        twice.add(one.name());
      }
    }
    if (!twice.isEmpty()) {
      throw new ContractException(what + " must be unique, these occur twice: " + twice);
    }
  }

  public String name() {
    return name;
  }

  public List<TensorSpec> inputs() {
    return inputs;
  }

  public List<TensorSpec> outputs() {
    return outputs;
  }

  /** Returns the input of a name; null: there is none. */
  public TensorSpec input(String which) {
    return find(inputs, which);
  }

  /** Returns the output of a name; null: there is none. */
  public TensorSpec output(String which) {
    return find(outputs, which);
  }

  private static TensorSpec find(List<TensorSpec> specs, String which) {
    for (int i = 0; i < specs.size(); i++) {
      if (specs.get(i).name().equals(which)) {
        return specs.get(i);
      }
    }
    return null;
  }

  /** Returns the names of the inputs. */
  public List<String> inputNames() {
    return names(inputs);
  }

  /** Returns the names of the inputs of a role, in their order. */
  public List<String> inputsOf(String role) {
    List<TensorSpec> found = new ArrayList<>();
    for (TensorSpec one : inputs) {
      if (one.role().equals(role)) {
        found.add(one);
      }
    }
    return names(found);
  }

  private static List<String> names(List<TensorSpec> specs) {
    List<String> found = new ArrayList<>();
    for (TensorSpec one : specs) {
      found.add(one.name());
    }
    return found;
  }

  /** Throws ContractException unless the names are those of the inputs. */
  public void checkNames(Collection<String> given) {
    List<String> missing = inputNames();
    missing.removeAll(given);
    List<String> unknown = new ArrayList<>(given);
    unknown.removeAll(inputNames());
    if (!missing.isEmpty() || !unknown.isEmpty()) {
      throw new ContractException(
          "signature '" + name + "' needs inputs " + inputNames() + ", missing " + missing
              + ", unknown " + unknown);
    }
  }

  /**
   * Checks the inputs of a call. Nothing is cast or reshaped: a wrong dtype is a mistake, not a
   * preference.
   *
   * @throws ContractException a name is missing or unknown, a dtype or a shape differs
   */
  public void checkInputs(Map<String, Tensor> given) {
    if (given.size() != inputs.size()) {
      checkNames(given.keySet());
    }
    for (int i = 0; i < inputs.size(); i++) {
      Tensor value = given.get(inputs.get(i).name());
      if (value == null) {
        checkNames(given.keySet());
        throw new ContractException(needs(inputs.get(i)) + ", got null");
      }
      if (!inputs.get(i).fits(value)) {
        throw misfit(inputs.get(i), value);
      }
    }
  }

  /** Returns the error of an input that does not fit. */
  public ContractException misfit(TensorSpec spec, Tensor value) {
    return new ContractException(needs(spec) + ", got " + value);
  }

  private String needs(TensorSpec spec) {
    return "signature '" + name + "' needs " + spec;
  }
}
