package org.tfliteodl.host;

import org.tfliteodl.contract.Signature;

/** One loaded model; its state lives as long as it does. One thread at a time may use it. */
public interface Runner {
  /** Returns a signature ready to be called, its memory allocated once. */
  Call prepare(Signature signature);

  /** Frees the model; the runner and its calls cannot be used again. */
  void close();
}
