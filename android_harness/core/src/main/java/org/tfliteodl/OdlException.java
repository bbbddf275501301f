package org.tfliteodl;

/** Base of every error this library raises on purpose: what was expected, what came. */
public class OdlException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** @param message what was expected, what came, where to look */
  public OdlException(String message) {
    super(message);
  }

  /**
   * @param message what was expected, what came, where to look
   * @param cause what the system or the runtime said
   */
  public OdlException(String message, Throwable cause) {
    super(message, cause);
  }
}
