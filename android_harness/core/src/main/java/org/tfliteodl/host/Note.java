package org.tfliteodl.host;

/** Is told what the user should know. */
public interface Note {
  void tell(String message);
}
