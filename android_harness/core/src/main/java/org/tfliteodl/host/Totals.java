package org.tfliteodl.host;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import org.tfliteodl.ContractException;
import org.tfliteodl.contract.Dtype;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;

/**
 * What several calls of a signature say together, as each output's total says.
 *
 * <p>A "sum" is added up; a "mean" is averaged, each call weighing by its output "count"; a call
 * that counts nothing adds nothing, and without any row a mean is 0. Outputs without a total are
 * left out.
 */
public final class Totals {
  private static final String CORRECT = "correct";
  private static final String ACCURACY = "accuracy";

  private final Signature signature;
  private final Map<String, double[]> sums = new LinkedHashMap<>();

  Totals(Signature signature) {
    this.signature = signature;
    for (TensorSpec one : signature.outputs()) {
      if (!one.total().isEmpty()) {
        sums.put(one.name(), new double[one.count()]);
      }
    }
  }

  /** Adds the outputs of one more call. */
  void add(Map<String, Tensor> outputs) {
    Tensor counted = outputs.get(Names.COUNT);
    double count = counted == null ? 1 : counted.get(0);
    if (count == 0) {
      return;
    }
    for (Map.Entry<String, double[]> entry : sums.entrySet()) {
      double factor = isMean(entry.getKey()) ? count : 1;
      Tensor value = outputs.get(entry.getKey());
      for (int i = 0; i < entry.getValue().length; i++) {
        entry.getValue()[i] += value.get(i) * factor;
      }
    }
  }

  private boolean isMean(String name) {
    return signature.output(name).total().equals(Names.MEAN);
  }

  /** Returns the names of what there is, "accuracy" where something is "correct" of "count". */
  public Set<String> names() {
    Map<String, double[]> found = new LinkedHashMap<>(sums);
    for (String name : sums.keySet()) {
      if (name.startsWith(CORRECT)) {
        found.put(ACCURACY + name.substring(CORRECT.length()), null);
      }
    }
    return Collections.unmodifiableSet(found.keySet());
  }

  /** Returns one number; throws ContractException where there is none, or several. */
  public double get(String name) {
    double[] found = values(name);
    if (found.length != 1) {
      throw new ContractException("'" + name + "' has " + found.length + " numbers, not one");
    }
    return found[0];
  }

  /** Returns the numbers of an output; throws ContractException where it has no total. */
  public double[] values(String name) {
    if (name.startsWith(ACCURACY) && !sums.containsKey(name)) {
      String output = name.substring(ACCURACY.length());
      return new double[] {get(CORRECT + output) / Math.max(get(Names.COUNT + output), 1)};
    }
    if (!sums.containsKey(name)) {
      throw new ContractException(
          "signature '" + signature.name() + "' has no total '" + name + "', it has " + names());
    }
    double[] found = sums.get(name).clone();
    double rows = sums.containsKey(Names.COUNT) ? Math.max(sums.get(Names.COUNT)[0], 1) : 1;
    for (int i = 0; isMean(name) && i < found.length; i++) {
      found[i] /= rows;
    }
    return found;
  }

  /** Returns whether a name's numbers are whole ones. */
  boolean isWhole(String name) {
    TensorSpec spec = signature.output(name);
    return spec != null && !isMean(name) && spec.dtype() != Dtype.FLOAT32;
  }

  @Override
  public String toString() {
    StringBuilder shown = new StringBuilder();
    for (String name : names()) {
      shown.append(shown.length() == 0 ? "" : ", ").append(name).append(' ');
      shown.append(values(name).length == 1 ? String.valueOf(get(name)) : "...");
    }
    return shown.toString();
  }
}
