package org.tfliteodl.host;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tfliteodl.contract.Dtype;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;

/** The record of a batch, as JSON has it: what it tells and in which order is Python's. */
final class Records {
  // What a record tells of a batch before it was learned from.
  private static final String[] PREQUENTIAL = {"correct", "absolute_error", "count"};

  private Records() {}

  /**
   * Returns a record.
   *
   * @param batch its number in the stream, from 1
   * @param outputs of train, in their order
   * @param metrics what train gave
   * @param before what evaluate gave before; null where it was not asked
   * @param ms the train call's milliseconds
   */
  static String record(
      long batch, List<TensorSpec> outputs, Map<String, Tensor> metrics, Totals before, double ms) {
    Map<String, String> values = new LinkedHashMap<>();
    for (TensorSpec one : outputs) {
      values.put(one.name(), plain(metrics.get(one.name())));
    }
    for (String name : PREQUENTIAL) {
      if (before != null && before.names().contains(name)) {
        values.put(name, plain(before.values(name), before.isWhole(name)));
      }
    }
    StringBuilder text = new StringBuilder("{\"batch\": ").append(batch);
    for (Map.Entry<String, String> one : values.entrySet()) {
      JsonWriter.text(text.append(", "), one.getKey()).append(": ").append(one.getValue());
    }
    text.append(", \"ms\": ").append(Math.round(ms * 1000) / 1000.0);
    return text.append('}').toString();
  }

  private static String plain(Tensor value) {
    double[] numbers = new double[value.count()];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = value.get(i);
    }
    if (value.dtype() == Dtype.BOOL && numbers.length == 1) {
      return numbers[0] == 0 ? "false" : "true";
    }
    return plain(numbers, value.dtype() != Dtype.FLOAT32);
  }

  /** Returns a number, or several as an array; what is not finite becomes null. */
  private static String plain(double[] numbers, boolean whole) {
    StringBuilder text = new StringBuilder(numbers.length == 1 ? "" : "[");
    for (int i = 0; i < numbers.length; i++) {
      JsonWriter.number(text.append(i == 0 ? "" : ", "), numbers[i], whole);
    }
    return text.append(numbers.length == 1 ? "" : "]").toString();
  }
}
