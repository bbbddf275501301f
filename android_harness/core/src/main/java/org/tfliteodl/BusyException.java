package org.tfliteodl;

/** Another process, or another session, writes to the folder. */
public final class BusyException extends OdlException {
  private static final long serialVersionUID = 1L;

  /** @param message what was expected, what came, where to look */
  public BusyException(String message) {
    super(message);
  }

  /**
   * @param message what was expected, what came, where to look
   * @param cause what the system or the runtime said
   */
  public BusyException(String message, Throwable cause) {
    super(message, cause);
  }
}
