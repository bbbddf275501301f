package org.tfliteodl.host;

/** Where a run's batches come from: a stream file, or a sensor. */
public interface Source {
  /**
   * Returns a batch.
   *
   * @param position its number in the stream, from 0; a run that was resumed goes on where it was.
   *     A sensor, which cannot go back, gives what comes next
   * @return null: the stream has ended. The batch is used until the next one is asked for
   */
  Batch batch(long position);
}
