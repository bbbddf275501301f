package org.tfliteodl.host;

import java.util.Arrays;
import org.tfliteodl.contract.Json;

/** What a run came to, the parts before a resume included. */
public final class Summary {
  private final long batches;
  private final long steps;
  private final boolean interrupted;
  private double[] ms = new double[64];
  private double[] losses = new double[64];
  private int count;
  private long rejected;
  private double correct;
  private double errors;
  private double correctOf;
  private double errorsOf;

  Summary(long batches, long steps, boolean interrupted) {
    this.batches = batches;
    this.steps = steps;
    this.interrupted = interrupted;
  }

  /** Takes one more record, in their order; two numbers of each are held. */
  void add(Json record) {
    if (count == ms.length) {
      ms = Arrays.copyOf(ms, 2 * count);
      losses = Arrays.copyOf(losses, 2 * count);
    }
    ms[count] = record.get("ms").number();
    losses[count++] = number(record, "loss");
    rejected += (long) record.get("rejected_rows").number();
    double counted = number(record, "count");
    double one = number(record, "correct");
    if (!Double.isNaN(one + counted)) {
      correct += one;
      correctOf += counted;
    }
    one = number(record, "absolute_error");
    if (!Double.isNaN(one + counted)) {
      errors += one * counted;
      errorsOf += counted;
    }
  }

  private static double number(Json record, String name) {
    Json found = record.find(name);
    return found == null ? Double.NaN : found.number();
  }

  /** Returns how many batches were consumed. */
  public long batches() {
    return batches;
  }

  /** Returns how many of them changed the state. */
  public long steps() {
    return steps;
  }

  /** Returns the mean loss of the last tenth of the batches, NaN if none has one. */
  public double loss() {
    double sum = 0;
    int told = 0;
    for (int i = count - Math.min(count, Math.max(1, count / 10)); i < count; i++) {
      boolean there = !Double.isNaN(losses[i]);
      sum += there ? losses[i] : 0;
      told += there ? 1 : 0;
    }
    return told == 0 ? Double.NaN : sum / told;
  }

  /**
   * Returns the prequential accuracy, each batch predicted before it was learned from; NaN if no
   * row was labelled or labels are no classes.
   */
  public double accuracy() {
    return correctOf == 0 ? Double.NaN : correct / correctOf;
  }

  /** Returns the absolute error likewise, of a regression. */
  public double absoluteError() {
    return errorsOf == 0 ? Double.NaN : errors / errorsOf;
  }

  /** Returns the number of bad rows. */
  public long rejectedRows() {
    return rejected;
  }

  /** Returns the median of the train calls' milliseconds, NaN without any. */
  public double msPerStep() {
    double[] sorted = Arrays.copyOf(ms, count);
    Arrays.sort(sorted);
    return count == 0 ? Double.NaN : (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
  }

  /** Whether the run stopped before its end. */
  public boolean interrupted() {
    return interrupted;
  }

  /** Returns how many batches have no record; the other figures are without them. */
  public long lostRecords() {
    return batches - count;
  }
}
