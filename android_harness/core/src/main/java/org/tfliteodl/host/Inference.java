package org.tfliteodl.host;

import java.util.Map;
import org.tfliteodl.ContractException;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;

/** The signature `infer`, over any number of rows in the forms that apps hold them. */
final class Inference {
  private final Running running;
  private final Signature spec;

  Inference(Running running, Signature spec) {
    this.running = running;
    this.spec = spec;
  }

  Map<String, Tensor> of(Batch batch) {
    return running.byRows(spec, Rows.many(spec, batch));
  }

  float[][] of(Tensor x) {
    Map<String, Tensor> found = of(Batch.of(x));
    if (found.size() != 1) {
      throw new ContractException(
          "infer has outputs " + found.keySet() + ": ask for all with infer(Batch)");
    }
    return found.values().iterator().next().rowsOfFloats();
  }

  float[][] of(float[][] rows) {
    TensorSpec input = spec.inputs().get(0);
    Tensor flat = Tensor.of(rows);
    int[] shape = input.shape();
    shape[0] = rows.length;
    if (rows.length == 0 || flat.size(1) != input.count() / input.size(0)) {
      throw spec.misfit(input, flat);
    }
    return of(Tensor.of(flat.floats(), shape));
  }
}
