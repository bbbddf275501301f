package org.tfliteodl.host;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tfliteodl.CheckpointException;
import org.tfliteodl.ForeignCheckpointException;
import org.tfliteodl.contract.JsonException;
import org.tfliteodl.contract.Manifest;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;

/**
 * Checkpoints: the state in one safetensors file, written whole, the last one kept.
 *
 * <p>The header holds the artifact's id, the contract version, the step, the position in the
 * stream, and the sha256 of all that, so that a file that is foreign, cut or altered is refused and
 * the one before is used.
 */
public final class Checkpoints {
  public static final String NEWEST = "checkpoint.safetensors";
  public static final String BEFORE = "checkpoint.before.safetensors";

  private static final String ARTIFACT = "artifact_id";
  private static final String CONTRACT = "contract_version";
  private static final String STEP = "step";
  private static final String POSITION = "position";

  private Checkpoints() {}

  /**
   * Writes a checkpoint as the newest one; the newest so far is kept beside it.
   *
   * @throws ForeignCheckpointException the folder holds another artifact's; nothing was written
   * @throws CheckpointException it cannot be written; what was there is as it was
   */
  public static File save(File folder, Manifest manifest, Checkpoint checkpoint) {
    return FileIo.told(
        CheckpointException::new,
        "cannot write to " + folder,
        () -> {
          Files.createDirectories(folder.toPath());
          return saved(folder, manifest, checkpoint);
        });
  }

  private static File saved(File folder, Manifest manifest, Checkpoint checkpoint)
      throws IOException {
    File newest = new File(folder, NEWEST);
    File before = new File(folder, BEFORE);
    boolean usable = isUsable(newest, manifest);
    isUsable(before, manifest);
    Map<String, String> facts = new LinkedHashMap<>();
    facts.put(ARTIFACT, manifest.artifactId());
    facts.put(CONTRACT, String.valueOf(Names.VERSION));
    facts.put(STEP, String.valueOf(checkpoint.step()));
    facts.put(POSITION, String.valueOf(checkpoint.position()));
    File fresh = FileIo.staged(newest, Safetensors.written(facts, checkpoint.state()));
    try {
      // A damaged one must not push out a whole one.
      if (usable) {
        FileIo.replace(newest, before);
      }
      FileIo.replace(fresh, newest);
    } finally {
      fresh.delete();
    }
    FileIo.syncFolder(folder);
    return newest;
  }

  /** Whether a file is worth keeping; throws ForeignCheckpointException if it is not ours. */
  private static boolean isUsable(File file, Manifest manifest) {
    if (!FileIo.exists(file)) {
      return false;
    }
    try {
      load(file, manifest);
      return true;
    } catch (ForeignCheckpointException error) {
      throw error;
    } catch (CheckpointException error) {
      return false;
    }
  }

  /**
   * Reads one checkpoint.
   *
   * @throws CheckpointException missing, cut, altered, of another artifact or a newer contract
   */
  public static Checkpoint load(File file, Manifest manifest) {
    Safetensors found = read(file);
    Map<String, String> facts = found.facts();
    for (String name : new String[] {ARTIFACT, CONTRACT, STEP, POSITION}) {
      if (!facts.containsKey(name)) {
        throw new CheckpointException(file + " is no checkpoint: its header lacks " + name);
      }
    }
    long version = number(file, facts, CONTRACT);
    if (version > Names.VERSION) {
      throw new ForeignCheckpointException(
          file + " follows contract " + version + ", this library knows " + Names.VERSION
              + " and below: update it");
    }
    if (!facts.get(ARTIFACT).equals(manifest.artifactId())) {
      throw new ForeignCheckpointException(
          file + " belongs to artifact " + shortened(facts.get(ARTIFACT)) + ", this is "
              + shortened(manifest.artifactId()));
    }
    checkState(file, found.tensors(), manifest);
    return new Checkpoint(
        found.tensors(), number(file, facts, STEP), number(file, facts, POSITION));
  }

  private static Safetensors read(File file) {
    Safetensors found;
    try {
      found =
          Safetensors.read(FileIo.read(file, CheckpointException::new, FileIo.LARGEST_BYTES));
    } catch (JsonException error) {
      throw new CheckpointException(file + " cannot be read: " + error.getMessage(), error);
    }
    if (!found.isWhole()) {
      throw new CheckpointException(
          file + " was altered: its sha256 does not fit its content");
    }
    return found;
  }

  /**
   * Reads one checkpoint file, or the newest valid one of a folder, null if that has none at all.
   *
   * @param refused told the reason for each file that is passed over
   * @throws CheckpointException there are checkpoints, but none can be used
   */
  public static Checkpoint find(File path, Manifest manifest, Note refused) {
    boolean file = FileIo.exists(path) && !path.isDirectory();
    return file ? load(path, manifest) : latest(path, manifest, refused);
  }

  /**
   * Reads the newest valid checkpoint of a folder, null if it has none at all.
   *
   * @param refused told the reason for each file that is passed over
   * @throws CheckpointException there are checkpoints, but none can be used
   */
  public static Checkpoint latest(File folder, Manifest manifest, Note refused) {
    List<String> errors = new ArrayList<>();
    for (String name : new String[] {NEWEST, BEFORE}) {
      File file = new File(folder, name);
      if (!FileIo.exists(file)) {
        continue;
      }
      try {
        return load(file, manifest);
      } catch (CheckpointException error) {
        refused.tell(error.getMessage());
        errors.add(error.getMessage());
      }
    }
    if (!errors.isEmpty()) {
      throw new CheckpointException("no usable checkpoint: " + String.join("; ", errors));
    }
    return null;
  }

  /**
   * Returns what a checkpoint of any artifact holds.
   *
   * @param path of the file, or of a folder whose newest valid one is taken
   * @throws CheckpointException missing, cut or altered
   */
  static Map<String, Tensor> tensors(File path) {
    if (!path.isDirectory()) {
      return read(path).tensors();
    }
    try {
      return read(new File(path, NEWEST)).tensors();
    } catch (CheckpointException error) {
      if (!FileIo.exists(new File(path, BEFORE))) {
        throw error;
      }
      return read(new File(path, BEFORE)).tensors();
    }
  }

  /**
   * Returns the names of the weights that another artifact's tensors can replace.
   *
   * @throws CheckpointException none agrees, or one that does is not finite
   */
  static List<String> fitting(Manifest manifest, Map<String, Tensor> given) {
    List<String> found = new ArrayList<>();
    for (TensorSpec one : manifest.state()) {
      Tensor value = given.get(one.name());
      if (value == null || !one.role().equals(Names.WEIGHT) || !one.fits(value)) {
        continue;
      }
      String problem = one.misfit(value);
      if (!problem.isEmpty()) {
        throw new CheckpointException("the checkpoint's weights: " + problem);
      }
      found.add(one.name());
    }
    if (found.isEmpty()) {
      throw new CheckpointException(
          "no weight of the checkpoint has the name and shape of one here: it is of another model");
    }
    return found;
  }

  private static long number(File file, Map<String, String> facts, String name) {
    String text = facts.get(name);
    if (!text.matches("[0-9]{1,15}")) {
      throw new CheckpointException(file + ": " + name + " in its header is '" + text + "'");
    }
    return Long.parseLong(text);
  }

  private static void checkState(File file, Map<String, Tensor> state, Manifest manifest) {
    if (state.size() != manifest.state().size()) {
      throw new CheckpointException(
          file + " does not fit the state: it has " + state.size() + " tensors, not "
              + manifest.state().size());
    }
    for (TensorSpec one : manifest.state()) {
      Tensor value = state.get(one.name());
      if (value == null || !one.fits(value)) {
        throw new CheckpointException(
            file + " does not fit the state: needs " + one + ", got " + value);
      }
      String problem = one.misfit(value);
      if (!problem.isEmpty()) {
        throw new CheckpointException(file + ": " + problem);
      }
    }
  }

  private static String shortened(String id) {
    return id.substring(0, Math.min(12, id.length()));
  }
}
