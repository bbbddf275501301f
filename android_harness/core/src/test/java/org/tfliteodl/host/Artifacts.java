package org.tfliteodl.host;

import java.io.File;
import java.util.Random;
import org.junit.Assume;
import org.tfliteodl.contract.Dtype;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;

/** The artifacts that Python's tests have exported, and batches that fit them. */
final class Artifacts {
  static final String[] METHODS = {
    "finetune-sgd", "skip-defaults", "contrastive", "distill-online"
  };
  static final int CLASSES = 3;

  private Artifacts() {}

  static File folder(String name) {
    File found = new File(System.getProperty("artifacts"), name);
    Assume.assumeTrue("no artifact at " + found + ": pytest exports them", found.isDirectory());
    return found;
  }

  static Session open(String name) {
    return Session.open(folder(name), new TfLiteEngine(1));
  }

  /** Returns a batch of a session's train signature, or of rows like its. */
  static Batch batch(Session session, int rows, long seed) {
    return batch(session, Names.TRAIN, rows, seed);
  }

  static Batch batch(Session session, String signature, int rows, long seed) {
    Batch batch = new Batch();
    for (TensorSpec one : session.manifest().signature(signature).inputs()) {
      if (!one.role().equals(Names.COUNT)) {
        batch.put(one.name(), random(one, rows, seed));
      }
    }
    return batch;
  }

  private static Tensor random(TensorSpec spec, int rows, long seed) {
    Random random = new Random(seed);
    int[] shape = spec.shape();
    shape[0] = rows;
    Tensor found = Tensor.zeros(spec.dtype(), shape);
    for (int i = 0; i < found.count(); i++) {
      if (spec.dtype() == Dtype.FLOAT32) {
        found.set(i, (float) random.nextGaussian());
      } else {
        found.set(i, random.nextInt(spec.dtype() == Dtype.UINT8 ? 256 : CLASSES));
      }
    }
    return found;
  }
}
