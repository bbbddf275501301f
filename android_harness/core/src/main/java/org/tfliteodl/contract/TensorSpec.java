package org.tfliteodl.contract;

import java.util.Arrays;
import org.tfliteodl.ContractException;

/** One named tensor of a signature or of the state: fixed shape, rank 1 or more. */
public final class TensorSpec {
  private final String name;
  private final Dtype dtype;
  private final int[] shape;
  private final String role;
  private final Double fill;
  private final Double low;
  private final Double high;
  private final String total;

  /**
   * @param name letters, digits and '_', beginning with a letter
   * @param dtype of the elements
   * @param shape sizes of 1 or more
   * @param role of a state tensor or of an input, see {@link Names}; empty: none
   * @param fill of an input, the value of rows that the caller leaves out; null: it must be given
   * @param low end of the range of a hyper-parameter or of the state's numbers; null: none
   * @param high the other end, included as well
   * @param total of an output, "sum" or "mean" over calls; empty: it says nothing of other calls
   * @throws ContractException one of them breaks the contract
   */
  public TensorSpec(
      String name,
      Dtype dtype,
      int[] shape,
      String role,
      Double fill,
      Double low,
      Double high,
      String total) {
    this.name = name;
    this.dtype = dtype;
    this.shape = shape.clone();
    this.role = role;
    this.fill = fill;
    this.low = low;
    this.high = high;
    this.total = total;
    check();
  }

  private void check() {
    if (!Names.isName(name)) {
      throw new ContractException(
          "tensor name '"
              + name
              + "': letters, digits and '_' are allowed, beginning with a letter");
    }
    long count = 1;
    for (int size : shape) {
      count = size < 1 || count > Integer.MAX_VALUE ? Long.MAX_VALUE : count * size;
    }
    if (shape.length == 0 || count > Integer.MAX_VALUE) {
      throw problem(
          "shape " + Arrays.toString(shape) + ", needs rank >= 1, fixed sizes >= 1, 2^31 - 1 "
              + "elements at most");
    }
    if (!role.isEmpty() && !Names.ROLES.contains(role)) {
      throw problem("role '" + role + "', needs one of " + Names.ROLES);
    }
    if (!total.isEmpty() && !Names.TOTALS.contains(total)) {
      throw problem("total '" + total + "', needs one of " + Names.TOTALS);
    }
    if (!isEnd(low) || !isEnd(high) || (low != null && high != null && low > high)) {
      throw problem("range " + range() + ", needs finite ends, the lower first");
    }
    if (fill != null && !dtype.holds(fill)) {
      throw problem("fill " + fill + ", which no " + dtype + " is");
    }
  }

  private static boolean isEnd(Double value) {
    return value == null || !(value.isNaN() || value.isInfinite());
  }

  private ContractException problem(String what) {
    return new ContractException("tensor '" + name + "' has " + what);
  }

  public String name() {
    return name;
  }

  public Dtype dtype() {
    return dtype;
  }

  /** Returns a copy of the sizes. */
  public int[] shape() {
    return shape.clone();
  }

  /** Returns the number of axes. */
  public int rank() {
    return shape.length;
  }

  /** Returns the size of an axis. */
  public int size(int axis) {
    return shape[axis];
  }

  /** Returns the number of elements. */
  public int count() {
    int count = 1;
    for (int size : shape) {
      count *= size;
    }
    return count;
  }

  public String role() {
    return role;
  }

  /** Returns what rows that the caller leaves out are; null: they must be given. */
  public Double fill() {
    return fill;
  }

  public String total() {
    return total;
  }

  /** Returns a tensor of zeros that fits. */
  public Tensor zeros() {
    return Tensor.zeros(dtype, shape);
  }

  /** Whether a tensor has this dtype and shape. */
  public boolean fits(Tensor tensor) {
    return tensor.fits(dtype, shape);
  }

  /** Whether a tensor has this dtype, and rows like this one's, however many. */
  public boolean rowsFit(Tensor tensor) {
    if (tensor.dtype() != dtype || tensor.rank() != shape.length) {
      return false;
    }
    for (int axis = 1; axis < shape.length; axis++) {
      if (tensor.size(axis) != shape[axis]) {
        return false;
      }
    }
    return true;
  }

  /** Whether a number is within the range; NaN, which changes nothing, is. */
  public boolean allows(double value) {
    return !(low != null && value < low) && !(high != null && value > high);
  }

  /** Returns the range in words, such as "0.0 to 1.0". */
  public String range() {
    if (high == null) {
      return low == null ? "any number" : low + " or more";
    }
    return low == null ? high + " or less" : low + " to " + high;
  }

  /**
   * Returns what is wrong with a tensor of the state that fits, "" if nothing is: floats are
   * finite, numbers within the range, which is rounded to the dtype.
   */
  public String misfit(Tensor value) {
    boolean real = dtype == Dtype.FLOAT32;
    double least = end(low, Double.NEGATIVE_INFINITY, real);
    double most = end(high, Double.POSITIVE_INFINITY, real);
    for (int i = 0; i < value.count(); i++) {
      double number = value.get(i);
      if (Double.isNaN(number) || Double.isInfinite(number)) {
        return "'" + name + "' has values that are not finite";
      }
      if (dtype == Dtype.BOOL && number > 1) {
        return "'" + name + "' has bytes that are no truth values";
      }
      if (number < least || number > most) {
        return "'" + name + "' has values out of its range, " + range();
      }
    }
    return "";
  }

  private static double end(Double end, double otherwise, boolean real) {
    if (end == null) {
      return otherwise;
    }
    return real ? (double) end.floatValue() : end;
  }

  /** Returns name, shape and dtype, such as "x [2, 3] float32". */
  @Override
  public String toString() {
    return name + " " + Arrays.toString(shape) + " " + dtype;
  }
}
