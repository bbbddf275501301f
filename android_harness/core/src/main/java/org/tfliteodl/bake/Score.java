package org.tfliteodl.bake;

import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import org.tfliteodl.ContractException;
import org.tfliteodl.contract.Dtype;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;
import org.tfliteodl.host.Artifact;
import org.tfliteodl.host.Batch;
import org.tfliteodl.host.Engine;
import org.tfliteodl.host.Serving;

/** How good a twin is on labelled rows; larger is better. */
final class Score {
  private static final String PROBABILITIES = "probabilities";

  private Score() {}

  /**
   * Returns, with class numbers, the share of rows whose largest output is theirs; with labels of 0
   * and 1 for each output the share of right decisions; of other outputs than probabilities minus
   * the mean absolute error. Unlabelled rows are left out.
   *
   * @throws ContractException the rows do not fit the twin
   */
  static double of(ByteBuffer twin, Artifact artifact, Batch x, Tensor y, Engine engine) {
    TensorSpec output = output(artifact);
    boolean probabilities = output.name().equals(PROBABILITIES);
    boolean classes = y.dtype() == Dtype.INT32;
    Tensor found;
    try (Serving serving = Serving.open(twin, artifact, engine)) {
      Map<String, Tensor> outputs = serving.infer(x);
      found = outputs.get(output.name());
    }
    boolean rows = y.rank() == 1 && found.rank() == 2 && probabilities;
    boolean fits = classes ? rows : y.count() == found.count();
    if (y.rank() == 0 || y.rows() != found.rows() || !fits) {
      throw new ContractException("held-out labels " + y + " do not fit the twin's " + output);
    }
    double sum = 0;
    long counted = 0;
    int width = found.rows() == 0 ? 0 : found.count() / found.rows();
    for (int row = 0; row < found.rows(); row++) {
      if (classes && y.getInt(row) >= 0) {
        sum += largest(found, row * width, width) == y.getInt(row) ? 1 : 0;
        counted++;
      } else if (!classes && isLabelled(y, row * width, width)) {
        sum += decisions(found, y, row * width, width, probabilities);
        counted += width;
      }
    }
    if (counted == 0) {
      throw new ContractException("the held-out rows have no label");
    }
    return sum / counted;
  }

  private static TensorSpec output(Artifact artifact) {
    Signature infer = artifact.manifest().signature(Names.INFER);
    List<String> labels =
        artifact.manifest().signature(Names.EVALUATE).inputsOf(Names.LABEL);
    if (infer.outputs().size() != 1 || labels.size() != 1) {
      throw new ContractException("held-out rows judge a model of one output and one label");
    }
    if (infer.outputs().get(0).name().equals("embedding")) {
      throw new ContractException("a twin that gives embeddings has no score by labels");
    }
    return infer.outputs().get(0);
  }

  private static int largest(Tensor values, int from, int count) {
    int best = 0;
    for (int i = 1; i < count; i++) {
      best = values.get(from + i) > values.get(from + best) ? i : best;
    }
    return best;
  }

  private static boolean isLabelled(Tensor y, int from, int count) {
    for (int i = from; i < from + count; i++) {
      if (Double.isNaN(y.get(i))) {
        return false;
      }
    }
    return true;
  }

  private static double decisions(
      Tensor found, Tensor y, int from, int count, boolean probabilities) {
    double sum = 0;
    for (int i = from; i < from + count; i++) {
      boolean right = found.get(i) > 0.5 == y.get(i) > 0.5;
      sum += probabilities ? (right ? 1 : 0) : -Math.abs(found.get(i) - y.get(i));
    }
    return sum;
  }
}
