package org.tfliteodl.host;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Map;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.contract.Manifest;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Tensor;

/** A serving twin at work: inference alone, faster than a session's; threads may share it. */
public final class Serving implements AutoCloseable {
  private final Running running;
  private final Inference inference;

  private Serving(Running running, Manifest manifest) {
    this.running = running;
    inference = new Inference(running, manifest.signature(Names.INFER));
  }

  /**
   * Loads a twin.
   *
   * @param twin the `.tflite`, as it was shipped, baked, or taken into service; copied
   * @param artifact that it belongs to
   * @throws ArtifactException its signature is not the artifact's, or the engine cannot load it
   */
  public static Serving open(ByteBuffer twin, Artifact artifact, Engine engine) {
    Manifest manifest = artifact.manifest().ofTwin();
    ByteBuffer model = ByteBuffer.allocateDirect(twin.remaining());
    model.put(twin.duplicate());
    model.flip();
    model.order(ByteOrder.LITTLE_ENDIAN);
    return new Serving(Artifact.run(model, manifest, engine), manifest);
  }

  /** Returns the only output of any number of rows of the only input, each row flattened. */
  public float[][] infer(Tensor x) {
    return inference.of(x);
  }

  /** Returns the only output of any number of rows, each flattened, of a float32 input. */
  public float[][] infer(float[][] rows) {
    return inference.of(rows);
  }

  /** Returns the outputs of any number of rows by name, [rows, ...] each. */
  public Map<String, Tensor> infer(Batch batch) {
    return inference.of(batch);
  }

  /** Frees the model. */
  @Override
  public void close() {
    running.close();
  }
}
