package org.tfliteodl;

/** A checkpoint is whole, but of another artifact or a newer contract: not ours to replace. */
public final class ForeignCheckpointException extends CheckpointException {
  private static final long serialVersionUID = 1L;

  /** @param message what was expected, what came, where to look */
  public ForeignCheckpointException(String message) {
    super(message);
  }
}
