package org.tfliteodl;

/** An artifact's folder or model file is incomplete, altered or rejected. */
public final class ArtifactException extends OdlException {
  private static final long serialVersionUID = 1L;

  /** @param message what was expected, what came, where to look */
  public ArtifactException(String message) {
    super(message);
  }

  /**
   * @param message what was expected, what came, where to look
   * @param cause what the system or the runtime said
   */
  public ArtifactException(String message, Throwable cause) {
    super(message, cause);
  }
}
