package org.tfliteodl.host;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.SignatureCall;
import org.tensorflow.lite.TensorFlowLite;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.ContractException;
import org.tfliteodl.contract.Manifest;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;

/** TFLite's interpreter through its Java API: org.tensorflow:tensorflow-lite, or LiteRT. */
public final class TfLiteEngine implements Engine {
  private final int threads;
  private final boolean lean;

  /**
   * @param threads of the CPU kernels, 1 or more
   */
  public TfLiteEngine(int threads) {
    this(threads, true);
  }

  /** @param lean whether calls go past the public API where they can, see SignatureCall */
  TfLiteEngine(int threads, boolean lean) {
    if (threads < 1) {
      throw new ContractException("needs 1 thread or more, got " + threads);
    }
    this.threads = threads;
    this.lean = lean;
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
      return new InterpreterRunner(new Interpreter(model, options), lean);
    } catch (IllegalArgumentException | IllegalStateException error) {
      throw new ArtifactException("TFLite cannot load the model: " + error.getMessage(), error);
    }
  }

  private static final class InterpreterRunner implements Runner {
    private final Interpreter interpreter;
    private final boolean lean;
    private final List<SignatureCall> prepared = new ArrayList<>();

    InterpreterRunner(Interpreter interpreter, boolean lean) {
      this.interpreter = interpreter;
      this.lean = lean;
    }

    @Override
    public Call prepare(Signature signature) {
      if (!lean) {
        return new PublicCall(interpreter, signature);
      }
      try {
        LeanCall call = new LeanCall(interpreter, signature);
        prepared.add(call.call);
        return call;
      } catch (LinkageError error) {
        // A TFLite whose insides are others: its public way works, and leaks.
        return new PublicCall(interpreter, signature);
      }
    }

    @Override
    public void close() {
      for (SignatureCall one : prepared) {
        one.close();
      }
      interpreter.close();
    }
  }

  /** Allocates nothing of its own, and leaves nothing behind. */
  private static final class LeanCall extends Call {
    private final SignatureCall call;
    private final Tensor[] in;
    private final Tensor[] out;
    private final ByteBuffer[] inBuffers;
    private final ByteBuffer[] outBuffers;

    LeanCall(Interpreter interpreter, Signature signature) {
      super(signature);
      in = inputs().values().toArray(new Tensor[0]);
      out = outputs().values().toArray(new Tensor[0]);
      inBuffers = new ByteBuffer[in.length];
      outBuffers = new ByteBuffer[out.length];
      call =
          new SignatureCall(
              interpreter,
              signature.name(),
              inputs().keySet().toArray(new String[0]),
              outputs().keySet().toArray(new String[0]));
    }

    @Override
    protected void run() {
      // TFLite writes an output from its buffer's position on: each is rewound.
      for (int i = 0; i < in.length; i++) {
        inBuffers[i] = in[i].buffer();
      }
      for (int i = 0; i < out.length; i++) {
        outBuffers[i] = out[i].buffer();
      }
      call.run(inBuffers, outBuffers);
    }
  }

  /** Calls by TFLite's public API. */
  private static final class PublicCall extends Call {
    private final Interpreter interpreter;
    private final Map<String, Object> in = new HashMap<>();
    private final Map<String, Object> out = new HashMap<>();

    PublicCall(Interpreter interpreter, Signature signature) {
      super(signature);
      this.interpreter = interpreter;
    }

    @Override
    protected void run() {
      for (Map.Entry<String, Tensor> one : inputs().entrySet()) {
        in.put(one.getKey(), one.getValue().buffer());
      }
      for (Map.Entry<String, Tensor> one : outputs().entrySet()) {
        out.put(one.getKey(), one.getValue().buffer());
      }
      interpreter.runSignature(in, out, signature().name());
    }
  }
}
