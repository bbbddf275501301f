package org.tfliteodl.contract;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.ContractException;

/** What an artifact says of itself, inside the model and beside it. */
public final class Manifest {
  private final String artifactId;
  private final String method;
  private final Map<String, Signature> signatures;
  private final List<TensorSpec> state;
  private final List<String> classes;
  private final Map<String, String> files;
  private final Json json;

  private Manifest(Manifest whole, String signature) {
    artifactId = whole.artifactId;
    method = whole.method;
    signatures = Collections.singletonMap(signature, whole.signature(signature));
    state = Collections.emptyList();
    classes = whole.classes;
    files = whole.files;
    json = whole.json;
  }

  private Manifest(Json json) {
    this.json = json;
    artifactId = json.get("artifact_id").text();
    method = json.get("method").get("name").text();
    signatures = Collections.unmodifiableMap(ManifestParts.signatures(json.get("signatures")));
    state = Collections.unmodifiableList(ManifestParts.specs(json.get("state")));
    List<String> names = new ArrayList<>();
    if (json.has("classes")) {
      for (Json one : json.get("classes").list()) {
        names.add(one.text());
      }
    }
    classes = Collections.unmodifiableList(names);
    Map<String, String> hashes =
        json.has("files") ? json.get("files").texts() : new LinkedHashMap<String, String>();
    files = Collections.unmodifiableMap(hashes);
    Signature.checkUnique("state tensors", state);
    checkState("returns", Names.SAVE, false);
    checkState("takes", Names.RESTORE, true);
  }

  /**
   * Parses a manifest.
   *
   * @param content UTF-8 JSON
   * @throws ArtifactException not JSON, or fields are missing or of another kind
   * @throws ContractException another contract, or a tensor or a signature breaks it
   */
  public static Manifest parse(byte[] content) {
    try {
      Json json = Json.parse(content);
      checkVersion(json.get("contract_version").integer());
      return new Manifest(json);
    } catch (JsonException error) {
      throw new ArtifactException("not an artifact's manifest: " + error.getMessage(), error);
    }
  }

  private static void checkVersion(int version) {
    if (version < 1) {
      throw new ArtifactException("not an artifact's manifest: contract " + version);
    }
    if (version > Names.VERSION) {
      throw new ContractException(
          "the artifact follows contract " + version + ", this library knows " + Names.VERSION
              + ": update it");
    }
    if (version < Names.VERSION) {
      throw new ContractException(
          "the artifact follows contract " + version + ", this library knows " + Names.VERSION
              + ": export it again");
    }
  }

  private void checkState(String verb, String name, boolean inputs) {
    Signature one = signatures.get(name);
    if (one == null) {
      return;
    }
    Set<String> differing = words(inputs ? one.inputs() : one.outputs());
    Set<String> own = words(state);
    Set<String> both = new TreeSet<>(own);
    both.retainAll(differing);
    differing.addAll(own);
    differing.removeAll(both);
    if (!differing.isEmpty()) {
      throw new ContractException(
          "the state and what its signature " + verb + " differ: " + differing);
    }
  }

  private static Set<String> words(List<TensorSpec> specs) {
    Set<String> found = new TreeSet<>();
    for (TensorSpec one : specs) {
      found.add(one.toString());
    }
    return found;
  }

  /** Returns the sha256 of the model before the manifest was embedded in it. */
  public String artifactId() {
    return artifactId;
  }

  /** Returns the name of the method, such as "finetune". */
  public String method() {
    return method;
  }

  /** Returns the signatures by name, in the order in which they were exported. */
  public Map<String, Signature> signatures() {
    return signatures;
  }

  /** Returns a signature; throws ContractException naming those there are. */
  public Signature signature(String name) {
    Signature found = signatures.get(name);
    if (found == null) {
      throw new ContractException(
          "no signature '" + name + "', the artifact has " + signatures.keySet());
    }
    return found;
  }

  /** Whether there is a signature of a name. */
  public boolean has(String signature) {
    return signatures.containsKey(signature);
  }

  /** Returns every tensor that `save` returns and `restore` takes. */
  public List<TensorSpec> state() {
    return state;
  }

  /** Returns the names of the classes, none where the outputs have none. */
  public List<String> classes() {
    return classes;
  }

  /** Returns {path: sha256} of every shipped file; the copy inside a model has none. */
  public Map<String, String> files() {
    return files;
  }

  /** Returns everything the manifest says, as it was read. */
  public Json json() {
    return json;
  }

  /** Returns what a runtime needs to know of a serving twin: `infer` alone, and no state. */
  public Manifest ofTwin() {
    return new Manifest(this, Names.INFER);
  }

  /** Whether two manifests say the same; of what is shipped beside the model they need not. */
  public boolean same(Manifest other) {
    return inside().equals(other.inside());
  }

  private Map<Object, Object> inside() {
    Map<Object, Object> found = new LinkedHashMap<>((Map<?, ?>) json.plain());
    found.remove("files");
    found.remove("delivery");
    return found;
  }
}
