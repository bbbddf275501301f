package org.tfliteodl.bake;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.CheckpointException;
import org.tfliteodl.contract.Digest;
import org.tfliteodl.contract.Json;
import org.tfliteodl.contract.JsonException;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.host.Artifact;
import org.tfliteodl.host.Batch;
import org.tfliteodl.host.Engine;
import org.tfliteodl.host.FileIo;

/**
 * Takes a baked twin into service, or leaves the one that is there.
 *
 * <p>Beside the file lies another of its name and ".json": the file's sha256, the artifact it
 * belongs to, the digest of the state it was baked from, its score. The artifact's folder is never
 * written to.
 */
public final class Service {
  private static final String NOTE_SUFFIX = ".json";
  private static final int MOST_NOTE_BYTES = 1 << 16;

  private final File path;
  private final Artifact artifact;
  private final Engine engine;

  /**
   * @param path of the twin in service, outside the artifact's folder
   * @param engine that judges twins by held-out rows
   * @throws ArtifactException the path is in the artifact's folder
   */
  public Service(File path, Artifact artifact, Engine engine) {
    this.path = path.getAbsoluteFile();
    this.artifact = artifact;
    this.engine = engine;
    if (this.path.getParentFile().equals(artifact.folder().getAbsoluteFile())) {
      throw new ArtifactException(path + " is in the artifact's folder, which never changes");
    }
  }

  /** What became of a baked twin. */
  public static final class Decision {
    /** Whether it is in service now. */
    public final boolean taken;

    /** Its score on the held-out rows, NaN without any. */
    public final double score;

    /** The score of the twin that was in service, or the shipped one. */
    public final double before;

    Decision(boolean taken, double score, double before) {
      this.taken = taken;
      this.score = score;
      this.before = before;
    }
  }

  /**
   * Bakes a twin and puts it in service.
   *
   * @throws ArtifactException nothing was baked or written; the twin in service stays
   * @throws CheckpointException the state makes no twin; the one in service stays
   */
  public Decision serve(Map<String, Tensor> state) {
    put(Bake.bake(artifact, state), state, Double.NaN);
    return new Decision(true, Double.NaN, Double.NaN);
  }

  /**
   * Bakes a twin and puts it in service, unless it is worse.
   *
   * @param x features held out from training
   * @param y their labels
   * @param maxDrop how far the score may be below the one before
   * @throws ArtifactException nothing was baked or written; the twin in service stays
   * @throws CheckpointException the state makes no twin; the one in service stays
   */
  public Decision serve(Map<String, Tensor> state, Batch x, Tensor y, double maxDrop) {
    ByteBuffer twin = Bake.bake(artifact, state);
    double score = Score.of(twin, artifact, x, y, engine);
    double before = Score.of(inService(), artifact, x, y, engine);
    boolean taken = score >= before - maxDrop;
    if (taken) {
      put(twin, state, score);
    }
    return new Decision(taken, score, before);
  }

  /**
   * Returns the twin in service; the shipped one if there is none, or one that is damaged or of
   * another artifact.
   */
  public ByteBuffer inService() {
    try {
      ByteBuffer twin = FileIo.read(path, ArtifactException::new, FileIo.LARGEST_BYTES);
      Json note = Json.parse(FileIo.bytes(note(), ArtifactException::new, MOST_NOTE_BYTES));
      boolean own =
          sha256(twin).equals(note.get("sha256").text())
              && artifact.manifest().artifactId().equals(note.get("artifact_id").text());
      return own ? twin : shipped();
    } catch (ArtifactException | JsonException error) {
      return shipped();
    }
  }

  private ByteBuffer shipped() {
    return artifact.file(Names.SERVING_FILE);
  }

  private void put(ByteBuffer twin, Map<String, Tensor> state, double score) {
    FileIo.write(path, Collections.singletonList(twin.duplicate()), ArtifactException::new);
    String of = Digest.of(new HashMap<String, String>(), state);
    String text =
        "{\"sha256\": \"" + sha256(twin) + "\", \"artifact_id\": \""
            + artifact.manifest().artifactId() + "\", \"state\": \"" + of + "\", \"score\": "
            + (Double.isNaN(score) ? "null" : String.valueOf(score)) + "}";
    ByteBuffer content = ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
    FileIo.write(note(), Collections.singletonList(content), ArtifactException::new);
  }

  private static String sha256(ByteBuffer content) {
    Digest.Hash hash = new Digest.Hash();
    hash.add(content.duplicate());
    return hash.hex();
  }

  private File note() {
    return new File(path.getPath() + NOTE_SUFFIX);
  }
}
