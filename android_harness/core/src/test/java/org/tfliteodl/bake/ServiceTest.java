package org.tfliteodl.bake;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.util.HashMap;
import java.util.Map;
import org.junit.Assume;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.CheckpointException;
import org.tfliteodl.ContractException;
import org.tfliteodl.contract.Dtype;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;
import org.tfliteodl.host.Artifact;
import org.tfliteodl.host.Batch;
import org.tfliteodl.host.Engine;
import org.tfliteodl.host.Serving;
import org.tfliteodl.host.Session;
import org.tfliteodl.host.TfLiteEngine;

public class ServiceTest {
  @Rule public TemporaryFolder temporary = new TemporaryFolder();

  private final Engine engine = new TfLiteEngine(1);

  private static Artifact artifact(String name) {
    File folder = new File(System.getProperty("artifacts"), name);
    Assume.assumeTrue("no artifact at " + folder + ": pytest exports them", folder.isDirectory());
    return Artifact.open(folder);
  }

  /** Returns rows that the shipped model takes for different classes. */
  private static Tensor rows(Artifact artifact, int count) {
    TensorSpec spec = artifact.manifest().signature(Names.INFER).inputs().get(0);
    int[] shape = spec.shape();
    shape[0] = count;
    Tensor found = Tensor.zeros(Dtype.FLOAT32, shape);
    java.util.Random random = new java.util.Random(1);
    for (int i = 0; i < found.count(); i++) {
      found.set(i, (float) random.nextGaussian());
    }
    return found;
  }

  private static int[] classes(float[][] probabilities) {
    int[] found = new int[probabilities.length];
    for (int i = 0; i < found.length; i++) {
      for (int k = 1; k < probabilities[i].length; k++) {
        found[i] = probabilities[i][k] > probabilities[i][found[i]] ? k : found[i];
      }
    }
    return found;
  }

  @Test
  public void aTwinInfersWhatItsSessionDoes() {
    for (String name : new String[] {"finetune-sgd", "skip-defaults", "distill-online"}) {
      Artifact artifact = artifact(name);
      Tensor x = rows(artifact, 5);
      try (Session session = Session.open(artifact, engine)) {
        Map<String, Tensor> state = session.state(true);
        for (TensorSpec one : session.manifest().state()) {
          for (int i = 0; one.role().equals("weight") && i < one.count(); i++) {
            Tensor value = state.get(one.name());
            value.set(i, value.getFloat(i) * 1.25f + 0.01f);
          }
        }
        session.loadState(state);
        try (Serving serving = Serving.open(Bake.bake(artifact, state), artifact, engine)) {
          float[][] wanted = session.infer(x);
          float[][] found = serving.infer(x);
          for (int i = 0; i < wanted.length; i++) {
            // Float32 with batch norms folded in: another order of operations.
            org.junit.Assert.assertArrayEquals(name, wanted[i], found[i], 2e-5f);
          }
        }
      }
    }
  }

  @Test
  public void aTwinIsTakenUnlessItIsWorse() throws IOException {
    Artifact artifact = artifact("finetune-sgd");
    File path = new File(temporary.getRoot(), "serve.tflite");
    Service service = new Service(path, artifact, engine);
    Tensor x = rows(artifact, 12);
    ByteBuffer shipped = service.inService();
    try (Session session = Session.open(artifact, engine);
        Serving serving = Serving.open(shipped, artifact, engine)) {
      int[] right = classes(serving.infer(x));
      Tensor y = Tensor.of(right);
      Map<String, Tensor> state = session.state(true);
      Service.Decision same = service.serve(state, Batch.of(x), y, 0.01);
      assertTrue(same.taken);
      assertEquals(1, same.before, 0);
      // Weights of zeros decide nothing: every row is of class 0.
      int zeros = 0;
      for (int one : right) {
        zeros += one == 0 ? 1 : 0;
      }
      Map<String, Tensor> worse = new HashMap<>(state);
      for (TensorSpec one : session.manifest().state()) {
        if (one.role().equals("weight") && one.name().startsWith("head")) {
          worse.put(one.name(), one.zeros());
        }
      }
      byte[] before = Files.readAllBytes(path.toPath());
      Service.Decision decision = service.serve(worse, Batch.of(x), y, 0.01);
      assertFalse(decision.taken);
      assertEquals(zeros / 12.0, decision.score, 1e-9);
      assertEquals(ByteBuffer.wrap(before), ByteBuffer.wrap(Files.readAllBytes(path.toPath())));
      assertTrue(service.serve(worse).taken);
      assertFalse(service.inService().equals(shipped));
      Files.write(path.toPath(), new byte[] {1});
      assertEquals(shipped, service.inService());
      Tensor none = Tensor.of(new int[] {-1, -1});
      Batch two = Batch.of(rows(artifact, 2));
      assertThrows(ContractException.class, () -> service.serve(state, two, none, 0));
      worse.remove("head_kernel");
      assertThrows(CheckpointException.class, () -> service.serve(worse));
    }
    File inside = new File(artifact.folder(), "x.tflite");
    assertThrows(ArtifactException.class, () -> new Service(inside, artifact, engine));
  }

  @Test
  public void weightsOfAnotherArtifactAreAdopted() {
    try (Session session = Session.open(artifact("finetune-sgd"), engine);
        Session other = Session.open(artifact("skip-defaults"), engine);
        Session stranger = Session.open(artifact("contrastive"), engine)) {
      Map<String, Tensor> before = other.state(true);
      Map<String, Tensor> given = session.state(true);
      for (Tensor one : given.values()) {
        if (one.dtype() == Dtype.FLOAT32) {
          one.set(0, one.getFloat(0) + 0.5f);
        }
      }
      session.loadState(given);
      File folder = new File(temporary.getRoot(), "state");
      File file = session.save(folder);
      for (String name : other.adopt(folder)) {
        assertTrue(name, other.state(true).get(name).same(given.get(name)));
        before.remove(name);
      }
      for (Map.Entry<String, Tensor> kept : before.entrySet()) {
        assertTrue(kept.getKey(), other.state(true).get(kept.getKey()).same(kept.getValue()));
      }
      assertTrue(before.size() < given.size() + 20 && !before.containsKey("head_kernel"));
      assertTrue(stranger.adopt(file).size() > 0);
      File missing = new File(temporary.getRoot(), "none");
      assertThrows(CheckpointException.class, () -> other.adopt(missing));
    }
  }
}
