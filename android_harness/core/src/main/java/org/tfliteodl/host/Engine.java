package org.tfliteodl.host;

import java.nio.ByteBuffer;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.contract.Manifest;

/** A runtime that can load models: TFLite's interpreter, or what follows it. */
public interface Engine {
  /** Returns its name and version, for records and messages. */
  String name();

  /**
   * Loads a model, in its shipped state.
   *
   * @param model a whole flatbuffer that was checked against the manifest; direct memory, not
   *     changed while the runner lives
   * @param manifest describes its signatures
   * @throws ArtifactException the runtime cannot load it
   */
  Runner load(ByteBuffer model, Manifest manifest);
}
