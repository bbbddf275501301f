package org.tfliteodl;

/** A checkpoint is foreign, cut, altered, or from a newer contract. */
public class CheckpointException extends OdlException {
  private static final long serialVersionUID = 1L;

  /** @param message what was expected, what came, where to look */
  public CheckpointException(String message) {
    super(message);
  }

  /**
   * @param message what was expected, what came, where to look
   * @param cause what the system or the runtime said
   */
  public CheckpointException(String message, Throwable cause) {
    super(message, cause);
  }
}
