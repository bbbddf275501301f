package org.tfliteodl.run;

import java.io.File;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import org.tfliteodl.DataException;
import org.tfliteodl.OdlException;
import org.tfliteodl.contract.Digest;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.host.Artifact;
import org.tfliteodl.host.Batch;
import org.tfliteodl.host.Engine;
import org.tfliteodl.host.Facts;
import org.tfliteodl.host.Goldens;
import org.tfliteodl.host.Loop;
import org.tfliteodl.host.Session;
import org.tfliteodl.host.Source;
import org.tfliteodl.streams.PackedStream;
import org.tfliteodl.streams.StoredOrder;

/**
 * A whole run of an app: goldens, evaluation, test-then-train, evaluation; it can be paused.
 *
 * <p>A run that was paused or killed goes on where its last checkpoint is when it is asked again.
 * Everything it comes to is in its folder: records.jsonl, run.json, status.json, checkpoints.
 */
public final class Run {
  private static final long STATUS_NANOS = 500_000_000L;

  /** Is told of a run; on the run's own thread. */
  public interface Listener {
    /** After every batch, with its record as JSON, and after every change of the state. */
    void changed(Status status, String record);
  }

  /** Makes batches of what sensors measure. */
  public interface Live {
    /** Returns batches that fit the signature train; throws ContractException: they cannot. */
    Source source(Signature train);
  }

  private final Folders folders;
  private final Request request;
  private final Engine engine;
  private final Live live;
  private final Listener listener;
  private final AtomicBoolean pausing = new AtomicBoolean();
  private final File folder;
  private final Status status;
  private long written;

  /**
   * @param live null: there are no sensors
   */
  public Run(Folders folders, Request request, Engine engine, Live live, Listener listener) {
    this.folders = folders;
    this.request = request;
    this.engine = engine;
    this.live = live;
    this.listener = listener;
    folder = folders.run(request.run());
    status = new Status(folder);
    status.put("steps", request.steps());
  }

  public Request request() {
    return request;
  }

  public Status status() {
    return status;
  }

  /**
   * Says that the run waits for something, such as the charger. Writes a file: not on a thread that
   * draws.
   */
  public void waiting(String what) {
    folder.mkdirs();
    status.put("waiting", what);
    enter(Status.State.WAITING);
  }

  /** Ends the run after the batch at work; its state is saved. Any thread may ask. */
  public void pause() {
    pausing.set(true);
  }

  /**
   * Runs to the end or to a pause. Takes long: not on a thread that draws.
   *
   * @throws OdlException what failed; the status says it, too. The last checkpoint is as it was
   */
  public void run() {
    folder.mkdirs();
    try {
      status.put("engine", engine.name());
      Artifact artifact = Artifact.open(folders.artifact(request.artifact()));
      status.put("goldens", goldens(artifact));
      enter(Status.State.RUNNING);
      try (Session session = Session.open(artifact, engine)) {
        train(session);
      }
    } catch (RuntimeException | OutOfMemoryError error) {
      status.fail(error.getClass().getSimpleName() + ": " + error.getMessage());
      listener.changed(status, null);
      throw error;
    }
  }

  private List<Goldens.Result> goldens(Artifact artifact) {
    return Goldens.check(artifact, engine);
  }

  private void train(Session session) {
    PackedStream stream =
        request.isLive() ? null : PackedStream.open(folders.stream(request.stream()));
    Facts.note(folder, facts(session, stream));
    boolean fresh = session.restore(folder, message -> status.put("note", message)) < 0;
    if (fresh && !request.settings().isEmpty()) {
      session.configure(request.settings());
    }
    if (fresh) {
      evaluate(session, stream, "before");
    }
    boolean interrupted = loop(session, source(session, stream));
    if (!interrupted) {
      evaluate(session, stream, "after");
    }
    enter(interrupted ? Status.State.PAUSED : Status.State.DONE);
  }

  /** Returns whether the loop was paused. */
  private boolean loop(Session session, Source source) {
    Loop loop =
        new Loop(session, source, folder)
            .checkpointEvery(request.every())
            .stop(pausing::get)
            .note(message -> status.put("note", message))
            .onRecord(record -> step(session, record));
    try {
      return loop.run(request.steps()).interrupted();
    } catch (DataException error) {
      if (request.isLive() && pausing.get() && session.position() < request.steps()) {
        return true; // the sensors were switched off; the loop has saved the state
      }
      throw error;
    }
  }

  private Map<String, String> facts(Session session, PackedStream stream) {
    Map<String, String> facts = new LinkedHashMap<>();
    facts.put("artifact", session.manifest().artifactId());
    facts.put("stream", stream == null ? Request.SENSORS : stream.facts().get(Digest.FIELD));
    facts.put("settings", request.settings().toString());
    return facts;
  }

  private Source source(Session session, PackedStream stream) {
    if (stream != null) {
      Tensor y = stream.tensors().get("y_train");
      return new StoredOrder(stream.tensor("x_train"), y, session.batchSize());
    }
    if (live == null) {
      throw new DataException("there are no sensors here, choose a stream file");
    }
    return live.source(session.manifest().signature(Names.TRAIN));
  }

  /** Evaluates on the stream's held-out rows, where there are any and labels tell. */
  private void evaluate(Session session, PackedStream stream, String when) {
    boolean labels = !session.manifest().signature(Names.TRAIN).inputsOf(Names.LABEL).isEmpty();
    Tensor x = stream == null ? null : stream.tensors().get("x_test");
    Tensor y = stream == null ? null : stream.tensors().get("y_test");
    if (labels && x != null && y != null && x.rows() > 0) {
      status.put(when, session.evaluate(Batch.of(x, y)));
    }
  }

  private void step(Session session, String record) {
    status.at(session.position());
    if (System.nanoTime() - written > STATUS_NANOS) {
      status.write();
      written = System.nanoTime();
    }
    listener.changed(status, record);
  }

  private void enter(Status.State state) {
    status.enter(state);
    listener.changed(status, null);
  }
}
