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
  // The caller's count of real rows, read anew for each call; null: all are.
  private final Tensor real;

  private Rows(Signature signature, Tensor[] given, int count, Tensor real) {
    this.signature = signature;
    this.given = given;
    this.count = count;
    this.real = real;
  }

  /**
   * Checks one call's rows: at most as many as the signature takes, and at least one.
   *
   * @throws ContractException a name, a dtype, a shape, or the count does not fit
   */
  static Rows one(Signature signature, Batch batch) {
    Rows known = batch.checked(signature);
    Rows rows = known != null ? known : of(signature, batch, true);
    rows.checkReal();
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

  /** Checks the batch; the result is kept with it unless labels were cast, which may change. */
  private static Rows of(Signature signature, Batch batch, boolean single) {
    Map<String, Tensor> named = batch.named(signature);
    checkNames(signature, named);
    List<TensorSpec> specs = signature.inputs();
    Tensor[] given = new Tensor[specs.size()];
    int count = -1;
    Tensor real = null;
    boolean cast = false;
    for (int i = 0; i < given.length; i++) {
      TensorSpec spec = specs.get(i);
      Tensor tensor = named.get(spec.name());
      if (isCount(spec)) {
        real = tensor == null ? null : counted(signature, spec, tensor, single);
        continue;
      }
      if (tensor == null) {
        continue;
      }
      Tensor as = spec.role().equals(Names.LABEL) ? Labels.cast(spec, tensor) : tensor;
      cast |= as != tensor;
      tensor = as;
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
    Rows rows = new Rows(signature, given, Math.max(count, 0), real);
    if (single && !cast) {
      batch.keep(rows);
    }
    return rows;
  }

  private static boolean isCount(TensorSpec spec) {
    return spec.role().equals(Names.COUNT);
  }

  private static Tensor counted(
      Signature signature, TensorSpec spec, Tensor given, boolean single) {
    if (!spec.fits(given)) {
      throw signature.misfit(spec, given);
    }
    if (!single) {
      throw new ContractException(
          "signature '" + signature.name() + "' is given rows of any number: leave '" + spec.name()
              + "' out");
    }
    return given;
  }

  private void checkReal() {
    int found = real == null ? 0 : real.getInt(0);
    if (found < 0 || found > count) {
      throw new ContractException("count is " + found + ", needs 0 to the " + count + " rows");
    }
  }

  Signature signature() {
    return signature;
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
        to.set(0, real == null ? rows : real.getInt(0));
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
