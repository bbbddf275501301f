package org.tfliteodl.contract;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.tfliteodl.ContractException;

/**
 * A dense tensor in memory that a runtime reads in place: C order, little-endian.
 *
 * <p>One thread at a time may write to it. Sessions copy what they are given and never keep it, so
 * one tensor can be filled and handed over again and again.
 */
public final class Tensor {
  private final Dtype dtype;
  private final int[] shape;
  private final int count;
  private final ByteBuffer data;

  private Tensor(Dtype dtype, int[] shape, int count, ByteBuffer data) {
    this.dtype = dtype;
    this.shape = shape.clone();
    this.count = count;
    this.data = data.order(ByteOrder.LITTLE_ENDIAN);
  }

  /** Returns a tensor of zeros; a size may be 0. */
  public static Tensor zeros(Dtype dtype, int... shape) {
    int count = count(shape);
    long bytes = (long) count * dtype.bytes();
    if (bytes > Integer.MAX_VALUE) {
      throw new ContractException("a tensor of " + bytes + " bytes, needs less than 2^31");
    }
    return new Tensor(dtype, shape, count, ByteBuffer.allocateDirect((int) bytes));
  }

  /**
   * Returns a tensor whose memory is that of a buffer, from its position to its limit, such as a
   * part of a mapped file.
   */
  public static Tensor view(Dtype dtype, ByteBuffer memory, int... shape) {
    int count = count(shape);
    if ((long) count * dtype.bytes() != memory.remaining()) {
      throw new ContractException(
          memory.remaining() + " bytes make no tensor " + Arrays.toString(shape) + " " + dtype);
    }
    return new Tensor(dtype, shape, count, memory.slice());
  }

  /** Returns a float32 tensor of a shape, {@code [values.length]} if none is given. */
  public static Tensor of(float[] values, int... shape) {
    Tensor found = sized(Dtype.FLOAT32, values.length, shape);
    found.buffer().asFloatBuffer().put(values);
    return found;
  }

  /** Returns an int32 tensor of a shape, {@code [values.length]} if none is given. */
  public static Tensor of(int[] values, int... shape) {
    Tensor found = sized(Dtype.INT32, values.length, shape);
    found.buffer().asIntBuffer().put(values);
    return found;
  }

  /** Returns a tensor of a dtype of one byte; uint8 255 is the byte -1. */
  public static Tensor of(Dtype dtype, byte[] values, int... shape) {
    if (dtype.bytes() != 1) {
      throw new ContractException("bytes make no tensor of " + dtype);
    }
    Tensor found = sized(dtype, values.length, shape);
    found.buffer().put(values);
    return found;
  }

  /** Returns a float32 tensor [rows, columns]; all rows have as many columns as the first. */
  public static Tensor of(float[][] rows) {
    int columns = rows.length == 0 ? 0 : rows[0].length;
    Tensor found = zeros(Dtype.FLOAT32, rows.length, columns);
    for (int i = 0; i < rows.length; i++) {
      if (rows[i].length != columns) {
        throw new ContractException(
            "row " + i + " has " + rows[i].length + " values, row 0 has " + columns);
      }
      for (int j = 0; j < columns; j++) {
        found.set(i * columns + j, rows[i][j]);
      }
    }
    return found;
  }

  private static Tensor sized(Dtype dtype, int values, int[] shape) {
    Tensor found = zeros(dtype, shape.length == 0 ? new int[] {values} : shape);
    if (found.count != values) {
      throw new ContractException(
          values + " values make no tensor " + Arrays.toString(found.shape));
    }
    return found;
  }

  private static int count(int[] shape) {
    long count = 1;
    for (int size : shape) {
      count *= size;
      if (size < 0 || count > Integer.MAX_VALUE) {
        throw new ContractException("no tensor has the shape " + Arrays.toString(shape));
      }
    }
    return (int) count;
  }

  /** Returns what the elements are. */
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

  /** Returns the size of the first axis, 1 of a single value. */
  public int rows() {
    return shape.length == 0 ? 1 : shape[0];
  }

  /** Returns the number of elements. */
  public int count() {
    return count;
  }

  /** Returns the number of bytes. */
  public int bytes() {
    return data.capacity();
  }

  /** Returns the memory itself, from its begin to its end, to be read or filled in bulk. */
  public ByteBuffer buffer() {
    data.clear();
    return data;
  }

  /** Returns element i in C order as a number; true is 1. */
  public double get(int i) {
    switch (dtype) {
      case FLOAT32:
        return data.getFloat(i * 4);
      case INT32:
        return data.getInt(i * 4);
      case INT8:
        return data.get(i);
      default:
        return data.get(i) & 0xff;
    }
  }

  /** Returns element i in C order as a float. */
  public float getFloat(int i) {
    return dtype == Dtype.FLOAT32 ? data.getFloat(i * 4) : (float) get(i);
  }

  /** Returns element i in C order as a whole number; fractions are cut. */
  public int getInt(int i) {
    return dtype == Dtype.INT32 ? data.getInt(i * 4) : (int) get(i);
  }

  /** Sets element i in C order; the number must be one that the dtype holds. */
  public void set(int i, double value) {
    if (!dtype.holds(value)) {
      throw new ContractException(value + " is no " + dtype);
    }
    if (dtype == Dtype.FLOAT32) {
      data.putFloat(i * 4, (float) value);
    } else if (dtype == Dtype.INT32) {
      data.putInt(i * 4, (int) value);
    } else {
      data.put(i, (byte) (int) value);
    }
  }

  /** Returns the elements as floats, in C order. */
  public float[] floats() {
    float[] found = new float[count];
    for (int i = 0; i < count; i++) {
      found[i] = getFloat(i);
    }
    return found;
  }

  /** Returns the elements as whole numbers, in C order. */
  public int[] ints() {
    int[] found = new int[count];
    for (int i = 0; i < count; i++) {
      found[i] = getInt(i);
    }
    return found;
  }

  /** Returns the rows as floats, each flattened: [rows][everything else]. */
  public float[][] rowsOfFloats() {
    int width = rows() == 0 ? 0 : count / rows();
    float[][] found = new float[rows()][width];
    for (int i = 0; i < count; i++) {
      found[i / width][i % width] = getFloat(i);
    }
    return found;
  }

  /** Returns a tensor of its own with the same content. */
  public Tensor copy() {
    Tensor found = zeros(dtype, shape);
    found.copyFrom(this);
    return found;
  }

  /** Takes the content of a tensor of the same dtype and shape. */
  public void copyFrom(Tensor other) {
    if (!fits(other.dtype, other.shape)) {
      throw new ContractException("needs " + this + ", got " + other);
    }
    copyRows(other, 0, 0, rows());
  }

  /**
   * Takes rows of a tensor whose rows are like this one's; allocates nothing.
   *
   * @param source of the same dtype, its sizes behind the first axis those of this one
   * @param from the first row there
   * @param to the first row here
   * @param rows how many
   */
  public void copyRows(Tensor source, int from, int to, int rows) {
    if (rows == 0) {
      return;
    }
    int bytes = source.bytes() / source.rows();
    synchronized (source) {
      source.data.clear();
      source.data.limit((from + rows) * bytes);
      source.data.position(from * bytes);
      data.clear();
      data.position(to * bytes);
      data.put(source.data);
      source.data.clear();
    }
    data.clear();
  }

  /** Sets rows, from one on up to another, to zeros; allocates nothing. */
  public void zeroRows(int from, int to) {
    int bytes = rows() == 0 ? 0 : bytes() / rows();
    for (int i = from * bytes; i < to * bytes; i++) {
      data.put(i, (byte) 0);
    }
  }

  /** Whether the dtype and the sizes are these. */
  public boolean fits(Dtype other, int... sizes) {
    return dtype == other && Arrays.equals(shape, sizes);
  }

  /** Whether dtype, shape and every byte are the same. */
  public boolean same(Tensor other) {
    return fits(other.dtype, other.shape) && buffer().equals(other.buffer());
  }

  /** Returns dtype and shape, such as "[2, 3] float32". */
  @Override
  public String toString() {
    return Arrays.toString(shape) + " " + dtype;
  }
}
