package org.tfliteodl;

/** The runtime failed in the middle of a call; only reset and restoring help. */
public final class RunException extends OdlException {
  private static final long serialVersionUID = 1L;

  /** @param message what was expected, what came, where to look */
  public RunException(String message) {
    super(message);
  }

  /**
   * @param message what was expected, what came, where to look
   * @param cause what the system or the runtime said
   */
  public RunException(String message, Throwable cause) {
    super(message, cause);
  }
}
