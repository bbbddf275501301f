package org.tensorflow.lite;

import java.nio.ByteBuffer;

/**
 * A signature whose tensors are looked up once.
 *
 * <p>{@code Interpreter.runSignature} looks each tensor up anew at every call and never frees what
 * that takes: in 2.16.1 a training step leaves about 1 kB of native memory behind. The parts that
 * can do without are open to TFLite's own package alone, hence this class is in it. Where another
 * version lacks them, making one throws a LinkageError.
 */
public final class SignatureCall {
  private final NativeSignatureRunnerWrapper runner;
  private final TensorImpl[] inputs;
  private final TensorImpl[] outputs;
  private final String[] outputNames;

  /**
   * @param interpreter must outlive this
   * @param key of the signature
   * @param inputNames in the order of the buffers that {@link #run} is given
   * @param outputNames likewise
   */
  public SignatureCall(
      Interpreter interpreter, String key, String[] inputNames, String[] outputNames) {
    NativeInterpreterWrapper wrapper = interpreter.wrapper;
    runner =
        new NativeSignatureRunnerWrapper(wrapper.interpreterHandle, wrapper.errorHandle, key);
    this.outputNames = outputNames;
    inputs = new TensorImpl[inputNames.length];
    outputs = new TensorImpl[outputNames.length];
    for (int i = 0; i < inputs.length; i++) {
      inputs[i] = runner.getInputTensor(inputNames[i]);
    }
  }

  /**
   * Runs the signature.
   *
   * @param in direct buffers, each of its input's size
   * @param out direct buffers, each of its output's size, at position 0; left at their ends
   */
  public void run(ByteBuffer[] in, ByteBuffer[] out) {
    runner.allocateTensorsIfNeeded();
    for (int i = 0; i < inputs.length; i++) {
      inputs[i].setTo(in[i]);
    }
    runner.invoke();
    for (int i = 0; i < outputs.length; i++) {
      if (outputs[i] == null) {
        // Some outputs have no shape before the first run.
        outputs[i] = runner.getOutputTensor(outputNames[i]);
      }
      outputs[i].copyTo(out[i]);
    }
  }

  /** Frees what looking up took; before the interpreter is closed. */
  public void close() {
    close(inputs);
    close(outputs);
  }

  private static void close(TensorImpl[] tensors) {
    for (int i = 0; i < tensors.length; i++) {
      if (tensors[i] != null) {
        tensors[i].close();
      }
      tensors[i] = null;
    }
  }
}
