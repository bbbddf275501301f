package org.tfliteodl.host;

import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.TensorFlowLite;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.ContractException;
import org.tfliteodl.contract.Manifest;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;

/** TFLite's interpreter through its Java API: org.tensorflow:tensorflow-lite, or LiteRT. */
public final class TfLiteEngine implements Engine {
  private final int threads;

  /**
   * @param threads of the CPU kernels, 1 or more
   */
  public TfLiteEngine(int threads) {
    if (threads < 1) {
      throw new ContractException("needs 1 thread or more, got " + threads);
    }
    this.threads = threads;
  }

  @Override
  public String name() {
    return "TFLite " + TensorFlowLite.runtimeVersion();
  }

  @Override
  public Runner load(ByteBuffer model, Manifest manifest) {
    try {
      Interpreter.Options options = new Interpreter.Options();
      options.setNumThreads(threads);
      return new InterpreterRunner(new Interpreter(model, options));
    } catch (IllegalArgumentException | IllegalStateException error) {
      throw new ArtifactException("TFLite cannot load the model: " + error.getMessage(), error);
    }
  }

  private static final class InterpreterRunner implements Runner {
    private final Interpreter interpreter;

    InterpreterRunner(Interpreter interpreter) {
      this.interpreter = interpreter;
    }

    @Override
    public Call prepare(Signature signature) {
      return new InterpreterCall(interpreter, signature);
    }

    @Override
    public void close() {
      interpreter.close();
    }
  }

  private static final class InterpreterCall extends Call {
    private final Interpreter interpreter;
    private final Map<String, Object> in = new HashMap<>();
    private final Map<String, Object> out = new HashMap<>();

    InterpreterCall(Interpreter interpreter, Signature signature) {
      super(signature);
      this.interpreter = interpreter;
      for (Map.Entry<String, Tensor> one : inputs().entrySet()) {
        in.put(one.getKey(), one.getValue().buffer());
      }
      for (Map.Entry<String, Tensor> one : outputs().entrySet()) {
        out.put(one.getKey(), one.getValue().buffer());
      }
    }

    @Override
    protected void run() {
      // TFLite writes an output from its buffer's position on, and leaves that at the end.
      for (int i = 0; i < signature().outputs().size(); i++) {
        outputs().get(signature().outputs().get(i).name()).buffer();
      }
      for (int i = 0; i < signature().inputs().size(); i++) {
        inputs().get(signature().inputs().get(i).name()).buffer();
      }
      interpreter.runSignature(in, out, signature().name());
    }
  }
}
