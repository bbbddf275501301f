package org.tfliteodl.host;

import java.io.File;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.BusyException;
import org.tfliteodl.CheckpointException;
import org.tfliteodl.ContractException;
import org.tfliteodl.RunException;
import org.tfliteodl.contract.Manifest;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;

/**
 * An artifact at work: every input checked, its state kept; threads may share it.
 *
 * <p>Each call of the runtime, inputs written and outputs read, is one turn; turns come in the
 * order in which threads ask. Of infer and evaluate each batch is a turn. Calls block while others
 * run: do not make them on a thread that draws.
 */
public final class Session implements AutoCloseable {
  private final Artifact artifact;
  private final Manifest manifest;
  private final Running running;
  private final ReentrantLock files = new ReentrantLock();
  private Claim claim;
  private Map<String, Tensor> snapshot;
  private long position;
  // Whether what is enrolled was embedded before the last training.
  private boolean stale = true;

  private Session(Artifact artifact, Engine engine) {
    this.artifact = artifact;
    this.manifest = artifact.manifest();
    this.running = artifact.run(engine);
  }

  /**
   * Loads an artifact.
   *
   * @param path of a folder, or of a bare `.tflite`
   * @throws ArtifactException the artifact cannot be used; nothing was loaded
   * @throws ContractException it follows another contract
   */
  public static Session open(File path, Engine engine) {
    return new Session(Artifact.open(path), engine);
  }

  /**
   * Loads an opened artifact.
   *
   * @throws ArtifactException the engine cannot load it
   */
  public static Session open(Artifact artifact, Engine engine) {
    return new Session(artifact, engine);
  }

  /** Frees the model and the claimed folder; the session cannot be used again. */
  @Override
  public void close() {
    running.close();
    files.lock();
    try {
      release();
    } finally {
      files.unlock();
    }
  }

  public Artifact artifact() {
    return artifact;
  }

  public Manifest manifest() {
    return manifest;
  }

  /** Returns how many rows one call of train takes. */
  public int batchSize() {
    return manifest.signature(Names.TRAIN).inputs().get(0).size(0);
  }

  /** Returns how many batches of the stream were consumed. */
  public long position() {
    return running.locked(() -> position);
  }

  /** Returns how many training steps changed the state. */
  public int step() {
    return running.locked(() -> saved().get("step").getInt(0));
  }

  /** Returns tensors for the outputs of a signature, to be used again and again. */
  public Map<String, Tensor> outputs(String signature) {
    return Call.zeros(manifest.signature(signature).outputs());
  }

  /**
   * Runs any signature with exactly its inputs; returns its outputs.
   *
   * @throws ContractException an input is missing, unknown, or of another dtype or shape, or a
   *     state to restore is out of its ranges; the runtime was not touched
   * @throws RunException the runtime failed. The state may be half of a step, so the session then
   *     refuses every call until it is reset or a state is restored
   */
  public Map<String, Tensor> run(String signature, Map<String, Tensor> inputs) {
    Signature spec = manifest.signature(signature);
    spec.checkInputs(inputs);
    if (signature.equals(Names.RESTORE)) {
      checkState(inputs);
    }
    return running.locked(
        () -> {
          if (signature.equals(Names.RESTORE) && running.hasFailed()) {
            running.reload();
          }
          Call call = running.call(signature);
          for (TensorSpec one : spec.inputs()) {
            call.inputs().get(one.name()).copyFrom(inputs.get(one.name()));
          }
          running.invoke(call);
          return copied(call.outputs());
        });
  }

  /**
   * Trains on one batch; a short one is padded and the count says how far.
   *
   * <p>Inputs with a fill may be left out, such as row weights. Labels are cast where that changes
   * none, nothing else is.
   *
   * @return the method's metrics by name: loss, step, rejected_rows and what else there is
   * @throws ContractException an input does not fit; the state is as it was
   * @throws RunException the runtime failed, see {@link #run}
   */
  public Map<String, Tensor> train(Batch batch) {
    Map<String, Tensor> metrics = outputs(Names.TRAIN);
    train(batch, metrics);
    return metrics;
  }

  /**
   * Trains on one batch and writes the metrics into tensors; allocates next to nothing.
   *
   * @param metrics as {@link #outputs} gives them
   */
  public void train(Batch batch, Map<String, Tensor> metrics) {
    Rows rows = Rows.one(manifest.signature(Names.TRAIN), batch);
    running.lock();
    try {
      Call call = running.call(Names.TRAIN);
      rows.fill(call, 0);
      running.invoke(call);
      position++;
      stale = true;
      copy(call.outputs(), metrics, call.signature().outputs());
    } finally {
      running.unlock();
    }
  }

  /** Returns the only output of any number of rows of the only input, each row flattened. */
  public float[][] infer(Tensor x) {
    return inference().of(x);
  }

  /** Returns the only output of any number of rows, each flattened, of a float32 input. */
  public float[][] infer(float[][] rows) {
    return inference().of(rows);
  }

  /** Returns the outputs of any number of rows by name, [rows, ...] each. */
  public Map<String, Tensor> infer(Batch batch) {
    return inference().of(batch);
  }

  private Inference inference() {
    return new Inference(running, manifest.signature(Names.INFER));
  }

  /**
   * Takes in labelled rows, by which {@link #classify} tells others; any number.
   *
   * @return how many are enrolled now: of a class that has most, the oldest leave where there is no
   *     room
   * @throws ContractException the artifact does not enroll, or an input does not fit
   */
  public int enroll(Batch batch) {
    Signature spec = manifest.signature(Names.ENROLL);
    Rows rows = Rows.many(spec, batch);
    return running.locked(
        () -> {
          int found = rows.count() == 0 ? embedAnew() : 0;
          for (int from = 0; from < rows.count(); from += rows.perCall()) {
            Call call = running.call(Names.ENROLL);
            rows.fill(call, from);
            running.invoke(call);
            found = call.outputs().get("enrolled").getInt(0);
          }
          stale = false;
          return found;
        });
  }

  /**
   * Returns which class each row is of, as the enrolled rows say. The first call after a training
   * embeds these anew.
   *
   * @throws ContractException the artifact does not classify, or an input does not fit
   */
  public Recognition classify(Batch batch) {
    Signature spec = manifest.signature(Names.CLASSIFY);
    Rows rows = Rows.many(spec, batch);
    refresh();
    Map<String, Tensor> found = running.byRows(spec, rows);
    return new Recognition(found.get("label").ints(), found.get("similarity").floats());
  }

  /**
   * Returns "loss", "count" and what else the artifact counts, over any number of rows; unlabelled
   * and bad rows are left out.
   */
  public Totals evaluate(Batch batch) {
    Signature spec = manifest.signature(Names.EVALUATE);
    Rows rows = Rows.many(spec, batch);
    refresh();
    Totals totals = new Totals(spec);
    for (int from = 0; from < rows.count(); from += rows.perCall()) {
      running.lock();
      try {
        Call call = running.call(Names.EVALUATE);
        rows.fill(call, from);
        running.invoke(call);
        totals.add(call.outputs());
      } finally {
        running.unlock();
      }
    }
    return totals;
  }

  /**
   * Sets hyper-parameters by name, keeps the others; returns those in force.
   *
   * @throws ContractException a name is unknown or a value out of its range; nothing was set. NaN
   *     keeps the present value
   */
  public Map<String, Double> configure(Map<String, Double> values) {
    Signature spec = manifest.signature(Names.CONFIGURE);
    for (String name : values.keySet()) {
      if (spec.input(name) == null) {
        throw new ContractException(
            "configure knows " + spec.inputNames() + ", got [" + name + "]");
      }
    }
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    for (TensorSpec one : spec.inputs()) {
      Double value = values.get(one.name());
      double number = value == null ? Double.NaN : value;
      if (!one.allows(number)) {
        throw new ContractException(
            "configure: " + one.name() + "=" + number + ", needs " + one.range());
      }
      inputs.put(one.name(), Tensor.of(new float[] {(float) number}));
    }
    Map<String, Double> found = new LinkedHashMap<>();
    for (Map.Entry<String, Tensor> one : run(Names.CONFIGURE, inputs).entrySet()) {
      found.put(one.getKey(), one.getValue().get(0));
    }
    return found;
  }

  /**
   * Returns the state by name.
   *
   * @param includeBuffers whether the user's raw data comes with it
   */
  public Map<String, Tensor> state(boolean includeBuffers) {
    return running.locked(
        () -> {
          Map<String, Tensor> all = saved();
          Map<String, Tensor> found = new LinkedHashMap<>();
          for (TensorSpec one : manifest.state()) {
            if (includeBuffers || !one.role().equals(Names.BUFFER)) {
              found.put(one.name(), all.get(one.name()).copy());
            }
          }
          return found;
        });
  }

  /** Takes a state as {@code state(true)} gives it; returns its step. */
  public int loadState(Map<String, Tensor> state) {
    return running.locked(
        () -> {
          int step = run(Names.RESTORE, state).get("step").getInt(0);
          stale = true;
          return step;
        });
  }

  /**
   * Takes the weights of another artifact's checkpoint, where names and shapes agree; nothing but
   * weights changes.
   *
   * @param path of the checkpoint, or of its folder
   * @return the names of those that were taken
   * @throws CheckpointException the file is damaged, no weight of it fits, or one is not finite;
   *     the state is as it was
   */
  public List<String> adopt(File path) {
    Map<String, Tensor> given = Checkpoints.tensors(path);
    List<String> taken = Checkpoints.fitting(manifest, given);
    return running.locked(
        () -> {
          Map<String, Tensor> news = state(true);
          for (String name : taken) {
            news.put(name, given.get(name));
          }
          loadState(news);
          return taken;
        });
  }

  /** Returns to the shipped state, as a fresh session has it. */
  public void reset() {
    running.locked(
        () -> {
          running.reload();
          position = 0;
          stale = true;
          return null;
        });
  }

  /**
   * Makes a folder this session's own to write to, until it is closed or claims another.
   *
   * @throws BusyException another process, or another session, has it; who is said
   * @throws CheckpointException the folder cannot be written
   */
  public void claim(File folder) {
    files.lock();
    try {
      if (claim == null || !claim.holds(folder)) {
        Claim other = new Claim(folder);
        release();
        claim = other;
      }
    } finally {
      files.unlock();
    }
  }

  private void release() {
    if (claim != null) {
      claim.release();
    }
    claim = null;
  }

  /**
   * Writes the whole state as the newest checkpoint of a folder, claimed from now on; the newest so
   * far is kept beside it.
   *
   * @return the file
   * @throws BusyException another process, or another session, writes there
   * @throws CheckpointException it cannot be written, or the folder holds another artifact's; what
   *     is there is as it was
   */
  public File save(File folder) {
    files.lock();
    try {
      claim(folder);
      return Checkpoints.save(folder, manifest, running.locked(this::snapshot));
    } finally {
      files.unlock();
    }
  }

  /**
   * Takes the newest valid checkpoint of a folder, or one checkpoint file.
   *
   * @return its step; -1: the folder has none at all, and nothing changed
   * @throws CheckpointException there are checkpoints, but none can be used; the state is as it was
   */
  public int restore(File path) {
    return restore(path, message -> {});
  }

  /**
   * Takes the newest valid checkpoint of a folder, or one checkpoint file.
   *
   * @param refused told the reason for each checkpoint that is passed over
   * @return its step; -1: the folder has none at all, and nothing changed
   * @throws CheckpointException there are checkpoints, but none can be used; the state is as it was
   */
  public int restore(File path, Note refused) {
    files.lock();
    try {
      Checkpoint found = Checkpoints.find(path, manifest, refused);
      if (found == null) {
        return -1;
      }
      return running.locked(
          () -> {
            loadState(found.state());
            position = found.position();
            return (int) found.step();
          });
    } finally {
      files.unlock();
    }
  }

  /** Embeds what is enrolled anew, where the encoder has learned since. */
  private void refresh() {
    if (!manifest.has(Names.REFRESH)) {
      return;
    }
    running.locked(() -> stale ? embedAnew() : 0);
  }

  private int embedAnew() {
    Call call = running.call(Names.REFRESH);
    running.invoke(call);
    stale = false;
    return call.outputs().get("enrolled").getInt(0);
  }

  /** Returns the state in the call's own memory. */
  private Map<String, Tensor> saved() {
    Call call = running.call(Names.SAVE);
    running.invoke(call);
    return call.outputs();
  }

  /** Copies the state into memory that is kept for this, as long as the files are locked. */
  private Checkpoint snapshot() {
    if (snapshot == null) {
      snapshot = Call.zeros(manifest.state());
    }
    copy(saved(), snapshot, manifest.state());
    return new Checkpoint(snapshot, snapshot.get("step").getInt(0), position);
  }

  private void checkState(Map<String, Tensor> state) {
    for (TensorSpec one : manifest.state()) {
      String problem = one.misfit(state.get(one.name()));
      if (!problem.isEmpty()) {
        throw new ContractException("the state to restore: " + problem);
      }
    }
  }

  private static Map<String, Tensor> copied(Map<String, Tensor> tensors) {
    Map<String, Tensor> found = new LinkedHashMap<>();
    for (Map.Entry<String, Tensor> one : tensors.entrySet()) {
      found.put(one.getKey(), one.getValue().copy());
    }
    return found;
  }

  private static void copy(
      Map<String, Tensor> from, Map<String, Tensor> to, List<TensorSpec> specs) {
    for (int i = 0; i < specs.size(); i++) {
      String name = specs.get(i).name();
      to.get(name).copyFrom(from.get(name));
    }
  }
}
