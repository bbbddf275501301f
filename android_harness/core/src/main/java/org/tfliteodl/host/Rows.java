package org.tfliteodl.host;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.tfliteodl.ContractException;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;

/**
 * A batch checked against a signature, and copied into a call's memory part by part.
 *
 * <p>What an input is the manifest says, by its role and its fill; nothing goes by names.
 */
final class Rows {
  private final Signature signature;
  private final Tensor[] given;
  private final int count;
  private final int realRows;

  private Rows(Signature signature, Tensor[] given, int count, int realRows) {
    this.signature = signature;
    this.given = given;
    this.count = count;
    this.realRows = realRows;
  }

  /**
   * Checks one call's rows: at most as many as the signature takes, and at least one.
   *
   * @throws ContractException a name, a dtype, a shape, or the count does not fit
   */
  static Rows one(Signature signature, Batch batch) {
    Rows rows = of(signature, batch, true);
    if (rows.count < 1 || rows.count > rows.perCall()) {
      for (int i = 0; i < rows.given.length; i++) {
        if (rows.given[i] != null && !isCount(signature.inputs().get(i))) {
          throw signature.misfit(signature.inputs().get(i), rows.given[i]);
        }
      }
    }
    return rows;
  }

  /** Checks rows of any number, for as many calls as they take. */
  static Rows many(Signature signature, Batch batch) {
    return of(signature, batch, false);
  }

  private static Rows of(Signature signature, Batch batch, boolean counted) {
    Map<String, Tensor> named = batch.named(signature);
    checkNames(signature, named);
    List<TensorSpec> specs = signature.inputs();
    Tensor[] given = new Tensor[specs.size()];
    int count = -1;
    int real = -1;
    for (int i = 0; i < given.length; i++) {
      TensorSpec spec = specs.get(i);
      Tensor tensor = named.get(spec.name());
      if (isCount(spec)) {
        real = tensor == null ? -1 : countOf(signature, spec, tensor, counted);
        continue;
      }
      if (tensor == null) {
        continue;
      }
      tensor = spec.role().equals(Names.LABEL) ? Labels.cast(spec, tensor) : tensor;
      if (tensor.rank() == 0 || !spec.rowsFit(tensor)) {
        throw signature.misfit(spec, tensor);
      }
      if (count >= 0 && tensor.rows() != count) {
        throw new ContractException(
            "signature '" + signature.name() + "': rows differ, '" + spec.name() + "' has "
                + tensor.rows() + ", another " + count);
      }
      count = tensor.rows();
      given[i] = tensor;
    }
    if (real > count) {
      throw new ContractException("count is " + real + ", needs 0 to the " + count + " rows");
    }
    return new Rows(signature, given, Math.max(count, 0), real < 0 ? count : real);
  }

  private static boolean isCount(TensorSpec spec) {
    return spec.role().equals(Names.COUNT);
  }

  private static int countOf(Signature signature, TensorSpec spec, Tensor given, boolean counted) {
    if (!spec.fits(given)) {
      throw signature.misfit(spec, given);
    }
    if (!counted || given.getInt(0) < 0) {
      throw new ContractException(
          counted
              ? "count is " + given.getInt(0) + ", needs 0 or more"
              : "signature '" + signature.name() + "' counts its rows itself: leave '"
                  + spec.name() + "' out");
    }
    return given.getInt(0);
  }

  /** Throws unless what is not given may be left out, and nothing else is given. */
  private static void checkNames(Signature signature, Map<String, Tensor> named) {
    int known = 0;
    boolean missing = false;
    for (TensorSpec one : signature.inputs()) {
      boolean given = named.get(one.name()) != null;
      known += given ? 1 : 0;
      missing |= !given && one.fill() == null && !isCount(one);
    }
    if (missing || known < named.size()) {
      List<String> names = new ArrayList<>(named.keySet());
      for (TensorSpec one : signature.inputs()) {
        if (!names.contains(one.name()) && (one.fill() != null || isCount(one))) {
          names.add(one.name());
        }
      }
      signature.checkNames(names);
    }
  }

  /** Returns the number of rows. */
  int count() {
    return count;
  }

  /** Returns how many rows one call takes. */
  int perCall() {
    return signature.inputs().get(0).size(0);
  }

  /** Returns how many rows the call from one row on takes. */
  int length(int from) {
    return Math.min(perCall(), count - from);
  }

  /**
   * Fills a call's inputs with the rows from one on: what was left out is filled in, rows behind
   * the last are zeros. Allocates nothing.
   */
  void fill(Call call, int from) {
    int rows = length(from);
    for (int i = 0; i < given.length; i++) {
      TensorSpec spec = signature.inputs().get(i);
      Tensor to = call.inputs().get(spec.name());
      if (isCount(spec)) {
        to.set(0, Math.min(rows, realRows));
        continue;
      }
      if (given[i] != null) {
        to.copyRows(given[i], from, 0, rows);
      } else {
        fillRows(to, spec.fill(), rows);
      }
      to.zeroRows(rows, to.rows());
    }
  }

  private static void fillRows(Tensor to, double value, int rows) {
    int values = to.count() / to.rows() * rows;
    for (int i = 0; i < values; i++) {
      to.set(i, value);
    }
  }

  /** Returns the inputs of a call in tensors of their own. */
  static Map<String, Tensor> padded(Signature signature, Batch batch) {
    Rows rows = one(signature, batch);
    Call call =
        new Call(signature) {
          @Override
          protected void run() {}
        };
    rows.fill(call, 0);
    return call.inputs();
  }
}
