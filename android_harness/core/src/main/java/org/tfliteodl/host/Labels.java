package org.tfliteodl.host;

import org.tfliteodl.ContractException;
import org.tfliteodl.contract.Dtype;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;

/** Labels as people hold them, cast to the artifact's dtype where that changes none. */
public final class Labels {
  private Labels() {}

  /**
   * Returns labels in the dtype and rank of an input if that keeps every value: whole numbers
   * become int32, those that float32 holds become float32, [B, 1] becomes [B]. Others come back as
   * they are, for the contract to refuse.
   */
  public static Tensor cast(TensorSpec spec, Tensor given) {
    boolean column =
        given.rank() == spec.rank() + 1 && given.rank() > 0 && given.size(given.rank() - 1) == 1;
    boolean numbers = given.dtype() != Dtype.BOOL && spec.dtype() != Dtype.BOOL;
    boolean same = given.dtype() == spec.dtype();
    boolean castable = numbers && (given.dtype() != Dtype.FLOAT32 || same);
    if ((same && !column) || (!same && !castable)) {
      return given;
    }
    Tensor found = Tensor.zeros(spec.dtype(), column ? withoutLast(given) : given.shape());
    for (int i = 0; i < given.count(); i++) {
      double value = given.get(i);
      if (!holds(spec.dtype(), value)) {
        return given;
      }
      found.set(i, value);
    }
    return found;
  }

  /**
   * Returns whole numbers as labels of an input.
   *
   * @throws ContractException one of them is none that the input's dtype holds
   */
  public static Tensor of(TensorSpec spec, long[] values, int... shape) {
    Tensor found = zeros(spec, values.length, shape);
    for (int i = 0; i < values.length; i++) {
      if ((long) (double) values[i] != values[i] || !holds(spec.dtype(), values[i])) {
        throw changes(spec, Long.toString(values[i]));
      }
      found.set(i, values[i]);
    }
    return found;
  }

  /**
   * Returns doubles as labels of an input of float32; NaN, which stands for none, too.
   *
   * @throws ContractException one of them would be rounded, or the input takes whole numbers
   */
  public static Tensor of(TensorSpec spec, double[] values, int... shape) {
    Tensor found = zeros(spec, values.length, shape);
    for (int i = 0; i < values.length; i++) {
      if (spec.dtype() != Dtype.FLOAT32 || !holds(spec.dtype(), values[i])) {
        throw changes(spec, Double.toString(values[i]));
      }
      found.set(i, values[i]);
    }
    return found;
  }

  private static boolean holds(Dtype dtype, double value) {
    if (dtype == Dtype.FLOAT32) {
      return Double.isNaN(value) || (double) (float) value == value;
    }
    return value == Math.rint(value) && value >= Integer.MIN_VALUE && value <= Integer.MAX_VALUE;
  }

  private static Tensor zeros(TensorSpec spec, int values, int[] shape) {
    Tensor found = Tensor.zeros(spec.dtype(), shape.length == 0 ? new int[] {values} : shape);
    if (found.count() != values) {
      throw new ContractException(values + " labels make no tensor " + found);
    }
    return found;
  }

  private static ContractException changes(TensorSpec spec, String value) {
    return new ContractException("label " + value + " would change as " + spec.dtype());
  }

  private static int[] withoutLast(Tensor tensor) {
    int[] found = new int[tensor.rank() - 1];
    for (int i = 0; i < found.length; i++) {
      found[i] = tensor.size(i);
    }
    return found;
  }
}
