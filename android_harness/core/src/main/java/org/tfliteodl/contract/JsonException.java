package org.tfliteodl.contract;

/** A text is no JSON, or a value of it is missing or of another kind. */
public final class JsonException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** @param message what was expected, what came */
  public JsonException(String message) {
    super(message);
  }
}
