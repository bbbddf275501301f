package org.tfliteodl.bake;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.CheckpointException;
import org.tfliteodl.OdlException;
import org.tfliteodl.contract.Dtype;
import org.tfliteodl.contract.Json;
import org.tfliteodl.contract.JsonException;
import org.tfliteodl.contract.Manifest;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.host.Artifact;

/**
 * Writes trained weights into the serving twin: no converter.
 *
 * <p>The manifest's `serving` says where in the file each weight of the twin lies and by which
 * formula it is made of the state. Everything else of the file stays as it is, so the same
 * checkpoint gives the same bytes on every machine.
 */
public final class Bake {
  private final List<Weight> weights = new ArrayList<>();
  private final Map<String, Json> constants;
  private final long bytes;
  private final Int8 int8;

  private Bake(Json serving) {
    for (Json one : serving.get("weights").list()) {
      weights.add(Weight.read(one));
    }
    constants = serving.get("constants").fields();
    bytes = serving.get("bytes").whole();
    int8 = serving.find("int8") == null ? null : Int8.read(serving.get("int8"));
  }

  /**
   * Returns the serving twin with trained weights, a `.tflite` with `infer` alone.
   *
   * @param artifact a folder's
   * @param state by name, as a session or a checkpoint gives it
   * @throws ArtifactException there is no twin, or it is not the one of the manifest
   * @throws CheckpointException the state lacks a tensor, or makes a weight that is not finite
   */
  public static ByteBuffer bake(Artifact artifact, Map<String, Tensor> state) {
    return patched(artifact.file(Names.SERVING_FILE), artifact.manifest(), state);
  }

  /**
   * Returns a copy of a twin with the weights that a state makes.
   *
   * @param model the twin, as it was shipped
   * @param manifest says where its weights lie
   * @param state by name
   * @throws ArtifactException the twin is not the manifest's
   * @throws CheckpointException the state lacks a tensor, or makes a weight that is not finite
   */
  public static ByteBuffer patched(ByteBuffer model, Manifest manifest, Map<String, Tensor> state) {
    Json json = manifest.json();
    try {
      Json serving = json.has("serving") ? json.get("serving") : null;
      if (serving == null || serving.fields().isEmpty()) {
        throw new ArtifactException(
            "the artifact was exported without a serving twin: export it again");
      }
      return patched(model, serving, state);
    } catch (JsonException error) {
      throw new ArtifactException("the manifest's `serving`: " + error.getMessage(), error);
    }
  }

  /** Returns a copy of a twin with the weights that a state makes. */
  static ByteBuffer patched(ByteBuffer model, Json serving, Map<String, Tensor> state) {
    try {
      return new Bake(serving).patched(model, state);
    } catch (OdlException error) {
      throw error;
    } catch (RuntimeException error) {
      // What a formula of any content can raise: places, axes or names that are none.
      throw new ArtifactException("the manifest's `serving` makes nothing: " + error, error);
    }
  }

  private ByteBuffer patched(ByteBuffer model, Map<String, Tensor> state) {
    if (model.remaining() != bytes) {
      throw new ArtifactException(
          "the serving twin has " + model.remaining() + " bytes, the manifest says " + bytes);
    }
    Twin twin = new Twin(model);
    Map<String, Floats> sources = new HashMap<>();
    for (Map.Entry<String, Tensor> one : state.entrySet()) {
      if (one.getValue().dtype() == Dtype.FLOAT32) {
        sources.put(one.getKey(), Floats.of(one.getKey(), one.getValue()));
      }
    }
    Map<String, Floats> own = new HashMap<>(sources);
    for (Map.Entry<String, Json> one : constants.entrySet()) {
      sources.put(one.getKey(), constant(twin, one.getValue()));
    }
    for (Weight weight : weights) {
      weight.write(twin, value(weight.recipe(), sources), sources);
    }
    if (int8 != null) {
      int8.write(twin, recipe -> value(recipe, sources), own);
    }
    return twin.content();
  }

  private static Floats constant(Twin twin, Json about) {
    int[] shape = about.get("shape").ints();
    long count = 1;
    for (int size : shape) {
      count = size < 0 || count > Integer.MAX_VALUE ? Long.MIN_VALUE / 8 : count * size;
    }
    ByteBuffer place = twin.place(about.get("offset").whole(), 4 * count);
    return Floats.of("a constant", Tensor.view(Dtype.FLOAT32, place, shape));
  }

  private static Floats value(Recipe recipe, Map<String, Floats> sources) {
    List<String> missing = new ArrayList<>(recipe.sources());
    missing.removeAll(sources.keySet());
    if (!missing.isEmpty()) {
      throw new CheckpointException(
          "the state has no " + missing + " of float32: the twin is made of them");
    }
    Floats found = recipe.value(sources);
    if (!found.isFinite()) {
      throw new CheckpointException(
          "the state's " + recipe.sources() + " make a weight that is not finite");
    }
    return found;
  }
}
