package org.tfliteodl;

/** A tensor, a name or a contract version does not fit the signature contract. */
public final class ContractException extends OdlException {
  private static final long serialVersionUID = 1L;

  /** @param message what was expected, what came, where to look */
  public ContractException(String message) {
    super(message);
  }

  /**
   * @param message what was expected, what came, where to look
   * @param cause what the system or the runtime said
   */
  public ContractException(String message, Throwable cause) {
    super(message, cause);
  }
}
