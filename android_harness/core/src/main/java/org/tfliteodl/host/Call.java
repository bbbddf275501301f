package org.tfliteodl.host;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;

/**
 * A signature of a loaded model with the memory of its inputs and outputs.
 *
 * <p>Whoever calls fills every input, runs, and reads the outputs before the next run.
 */
public abstract class Call {
  private final Signature signature;
  private final String what;
  private final Map<String, Tensor> inputs;
  private final Map<String, Tensor> outputs;

  /** Allocates a tensor for each input and output. */
  protected Call(Signature signature) {
    this.signature = signature;
    what = "in '" + signature.name() + "'";
    inputs = zeros(signature.inputs());
    outputs = zeros(signature.outputs());
  }

  static Map<String, Tensor> zeros(List<TensorSpec> specs) {
    Map<String, Tensor> found = new LinkedHashMap<>();
    for (TensorSpec one : specs) {
      found.put(one.name(), one.zeros());
    }
    return Collections.unmodifiableMap(found);
  }

  public final Signature signature() {
    return signature;
  }

  /** Returns what fails where this call does, for messages. */
  final String what() {
    return what;
  }

  /** Returns the inputs by name, to be filled. */
  public final Map<String, Tensor> inputs() {
    return inputs;
  }

  /** Returns the outputs by name; the next run writes over them. */
  public final Map<String, Tensor> outputs() {
    return outputs;
  }

  /**
   * Runs the signature: the inputs as they are, the outputs overwritten.
   *
   * @throws RuntimeException the runtime failed, maybe with a part of the state written
   */
  protected abstract void run();
}
