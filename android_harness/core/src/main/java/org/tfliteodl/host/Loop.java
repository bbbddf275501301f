package org.tfliteodl.host;

import java.io.File;
import java.util.Map;
import org.tfliteodl.BusyException;
import org.tfliteodl.CheckpointException;
import org.tfliteodl.ContractException;
import org.tfliteodl.DataException;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;

/** The test-then-train loop: predict a batch, then learn from it, and keep records. */
public final class Loop {
  /** Is asked after each batch whether the run ends early, its state saved. */
  public interface Stop {
    boolean isAsked();
  }

  private final Session session;
  private final Source source;
  private final File folder;
  private final Signature train;
  private final boolean learnsLabels;
  private int checkpointEvery = 100;
  private Stop stop = () -> false;
  private Note onRecord = record -> {};
  private Note note = message -> {};

  /**
   * @param session goes on at its position: restore it before, to resume
   * @param source of the batches
   * @param folder for records and checkpoints
   */
  public Loop(Session session, Source source, File folder) {
    this.session = session;
    this.source = source;
    this.folder = folder;
    train = session.manifest().signature(Names.TRAIN);
    learnsLabels = !train.inputsOf(Names.LABEL).isEmpty();
  }

  /** Sets the number of batches between checkpoints. */
  public Loop checkpointEvery(int batches) {
    if (batches < 1) {
      throw new ContractException("needs a checkpoint every 1 batch or more, got " + batches);
    }
    checkpointEvery = batches;
    return this;
  }

  /** Sets who says that the run ends early. */
  public Loop stop(Stop asked) {
    stop = asked;
    return this;
  }

  /** Sets who is given each record, a JSON object. */
  public Loop onRecord(Note told) {
    onRecord = told;
    return this;
  }

  /** Sets who is told what was found damaged of an earlier part of the run. */
  public Loop note(Note told) {
    note = told;
    return this;
  }

  /**
   * Trains until so many batches were consumed in all, those before a resume included.
   *
   * <p>Begins and ends with a checkpoint: a run that is killed before its first one would otherwise
   * go on without what was configured.
   *
   * @throws BusyException another session writes to the folder
   * @throws ContractException a batch does not fit
   * @throws DataException the stream ended before; the state is saved. Or records cannot be written
   * @throws CheckpointException a checkpoint cannot be written; the one before is whole
   */
  public Summary run(long steps) {
    if (steps < 0) {
      throw new ContractException("needs 0 steps or more, got " + steps);
    }
    File path = new File(folder, Journal.RECORDS);
    session.claim(folder);
    Journal.keep(path, session.position(), note);
    boolean interrupted = false;
    boolean ended = false;
    try (Journal log = new Journal(path)) {
      checkpoint(log);
      Map<String, Tensor> metrics = session.outputs(Names.TRAIN);
      while (session.position() < steps && !interrupted && !ended) {
        Batch batch = source.batch(session.position());
        ended = batch == null;
        if (!ended) {
          String record = step(batch, metrics);
          log.append(record);
          if (session.position() % checkpointEvery == 0) {
            checkpoint(log);
          }
          onRecord.tell(record);
          interrupted = stop.isAsked();
        }
      }
      checkpoint(log);
    }
    if (ended) {
      throw new DataException(
          "the stream ended after " + session.position() + " of " + steps + " batches");
    }
    Summary summary =
        new Summary(
            session.position(), session.step(), interrupted && session.position() < steps);
    Journal.read(
        path,
        (line, record) -> {
          if (record != null) {
            summary.add(record);
          }
        });
    return summary;
  }

  private String step(Batch batch, Map<String, Tensor> metrics) {
    Batch taken = learnsLabels ? batch : batch.withoutLabels();
    Totals before = learnsLabels ? session.evaluate(taken) : null;
    long start = System.nanoTime();
    session.train(taken, metrics);
    double ms = (System.nanoTime() - start) / 1e6;
    return Records.record(session.position(), train.outputs(), metrics, before, ms);
  }

  private void checkpoint(Journal log) {
    // Records first: a checkpoint never knows of batches the records lack.
    log.sync();
    session.save(folder);
  }
}
