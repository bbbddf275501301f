package org.tfliteodl.host;

import java.util.Map;
import org.tfliteodl.contract.Tensor;

/** The state at one point of a run. */
public final class Checkpoint {
  private final Map<String, Tensor> state;
  private final long step;
  private final long position;

  /**
   * @param state every tensor of the manifest's state, by name
   * @param step training steps that changed the state
   * @param position batches of the stream that were consumed
   */
  public Checkpoint(Map<String, Tensor> state, long step, long position) {
    this.state = state;
    this.step = step;
    this.position = position;
  }

  public Map<String, Tensor> state() {
    return state;
  }

  public long step() {
    return step;
  }

  public long position() {
    return position;
  }
}
