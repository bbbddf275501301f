package org.tfliteodl;

/** A stream, or a run's records, cannot be read or written as what they claim to be. */
public final class DataException extends OdlException {
  private static final long serialVersionUID = 1L;

  /** @param message what was expected, what came, where to look */
  public DataException(String message) {
    super(message);
  }

  /**
   * @param message what was expected, what came, where to look
   * @param cause what the system or the runtime said
   */
  public DataException(String message, Throwable cause) {
    super(message, cause);
  }
}
