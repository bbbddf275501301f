package org.tfliteodl.host;

import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;
import org.tfliteodl.ContractException;
import org.tfliteodl.RunException;
import org.tfliteodl.contract.Manifest;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;

/**
 * A model in a runtime: threads take turns, a failure is remembered.
 *
 * <p>Whoever makes a call holds the lock from filling its inputs to reading its outputs.
 */
final class Running {
  private final ByteBuffer model;
  private final Manifest manifest;
  private final Engine engine;
  // Fair: a thread that trains in a loop would otherwise overtake those that wait.
  private final ReentrantLock turn = new ReentrantLock(true);
  private final Map<String, Call> prepared = new HashMap<>();
  private Runner runner;
  private String failed = "";

  /** Loads a model that was checked, in direct memory. */
  Running(ByteBuffer model, Manifest manifest, Engine engine) {
    this.model = model;
    this.manifest = manifest;
    this.engine = engine;
    runner = engine.load(model, manifest);
  }

  /** Something done in one turn. */
  interface Turn<T> {
    T take();
  }

  <T> T locked(Turn<T> task) {
    turn.lock();
    try {
      return task.take();
    } finally {
      turn.unlock();
    }
  }

  void lock() {
    turn.lock();
  }

  void unlock() {
    turn.unlock();
  }

  /** Returns a signature ready to be called; in a turn. */
  Call call(String signature) {
    if (runner == null) {
      throw new ContractException("this session is closed: open another one");
    }
    if (!failed.isEmpty()) {
      throw new RunException(
          "an earlier call failed (" + failed + "), so the state may be half of a step: reset this "
              + "session, or restore a checkpoint");
    }
    Call found = prepared.get(signature);
    if (found == null) {
      found = runner.prepare(manifest.signature(signature));
      prepared.put(signature, found);
    }
    return found;
  }

  /** Makes a call whose inputs are filled; in a turn. */
  void invoke(Call call) {
    // Errors, such as of memory, leave half a step as well.
    failed = call.what();
    try {
      call.run();
    } catch (RuntimeException error) {
      failed = engine.name() + " failed " + failed + ": " + error.getMessage();
      throw new RunException(failed, error);
    }
    failed = "";
  }

  /** Returns each output of a signature, whose rows are the inputs' own; a turn for each call. */
  Map<String, Tensor> byRows(Signature spec, Rows rows) {
    Map<String, Tensor> found = new LinkedHashMap<>();
    for (TensorSpec one : spec.outputs()) {
      int[] shape = one.shape();
      shape[0] = rows.count();
      found.put(one.name(), Tensor.zeros(one.dtype(), shape));
    }
    for (int from = 0; from < rows.count(); from += rows.perCall()) {
      turn.lock();
      try {
        Call call = call(spec.name());
        rows.fill(call, from);
        invoke(call);
        for (Map.Entry<String, Tensor> one : found.entrySet()) {
          Tensor output = call.outputs().get(one.getKey());
          one.getValue().copyRows(output, 0, from, rows.length(from));
        }
      } finally {
        turn.unlock();
      }
    }
    return found;
  }

  /** Whether only a fresh runner helps; in a turn. */
  boolean hasFailed() {
    return !failed.isEmpty();
  }

  /** Takes a fresh runner, in the shipped state; in a turn. */
  void reload() {
    if (runner == null) {
      call("");
    }
    Runner fresh = engine.load(model, manifest);
    prepared.clear();
    runner.close();
    runner = fresh;
    failed = "";
  }

  /** Frees the model. */
  void close() {
    turn.lock();
    try {
      prepared.clear();
      if (runner != null) {
        runner.close();
      }
      runner = null;
    } finally {
      turn.unlock();
    }
  }
}
