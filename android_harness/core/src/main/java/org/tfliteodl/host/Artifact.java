package org.tfliteodl.host;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.ContractException;
import org.tfliteodl.contract.Digest;
import org.tfliteodl.contract.Manifest;
import org.tfliteodl.contract.Names;

/** A model and its manifest: a folder, or one bare `.tflite` that describes itself. */
public final class Artifact {
  private static final int MOST_REASON_BYTES = 1 << 20;
  private static final int MOST_SIGNATURE_BYTES = 64;

  private final File folder;
  private final ByteBuffer model;
  private final Manifest manifest;

  private Artifact(File folder, ByteBuffer model, Manifest manifest) {
    this.folder = folder;
    this.model = model;
    this.manifest = manifest;
    ModelCheck.check(model, manifest);
  }

  /**
   * Reads an artifact; the sha256 of every file is compared before anything is parsed further.
   *
   * @param path of a folder, or of a bare `.tflite`
   * @throws ArtifactException missing, altered or rejected; what and where is said
   * @throws ContractException it follows another contract
   */
  public static Artifact open(File path) {
    return open(path, null);
  }

  /**
   * Reads an artifact that a key must have signed.
   *
   * @param path of a folder, or of a bare `.tflite`
   * @param trusted null: no signature is asked for
   * @throws ArtifactException missing, altered, rejected, or not signed; what and where is said
   * @throws ContractException it follows another contract
   */
  public static Artifact open(File path, Trust trusted) {
    if (!FileIo.exists(path)) {
      throw new ArtifactException("no artifact at " + path);
    }
    if (!path.isDirectory()) {
      ByteBuffer model = FileIo.read(path, ArtifactException::new, FileIo.LARGEST_BYTES);
      Manifest manifest = Embedded.manifest(model, path.toString());
      if (trusted != null) {
        trusted.checkModel(model, path.toString());
      }
      return new Artifact(null, model, manifest);
    }
    checkNotRejected(path);
    File beside = new File(path, Names.MANIFEST_FILE);
    byte[] content =
        FileIo.bytes(beside, ArtifactException::new, Embedded.MOST_MANIFEST_BYTES);
    Manifest manifest = Manifest.parse(content);
    File file = new File(path, Names.MODEL_FILE);
    ByteBuffer model = FileIo.read(file, ArtifactException::new, FileIo.LARGEST_BYTES);
    verify(path, manifest, model);
    if (!Embedded.manifest(model, file.toString()).same(manifest)) {
      throw new ArtifactException(beside + " was altered: the model holds another one");
    }
    if (trusted != null) {
      trusted.checkModel(model, file.toString());
      File signature = new File(path, Names.SIGNATURE_FILE);
      byte[] bytes = FileIo.bytes(signature, ArtifactException::new, MOST_SIGNATURE_BYTES);
      trusted.checkManifest(content, bytes, beside.toString());
    }
    return new Artifact(path, model, manifest);
  }

  /**
   * Takes the content of a bare `.tflite`, such as an app's asset.
   *
   * @param content copied, from its position to its limit
   * @throws ArtifactException it is no whole artifact
   * @throws ContractException it follows another contract
   */
  public static Artifact of(ByteBuffer content) {
    ByteBuffer model = ByteBuffer.allocateDirect(content.remaining());
    model.put(content.duplicate());
    model.flip();
    model.order(ByteOrder.LITTLE_ENDIAN);
    return new Artifact(null, model, Embedded.manifest(model, "the model"));
  }

  private static void checkNotRejected(File path) {
    File rejected = new File(path, Names.REJECTED_FILE);
    if (FileIo.exists(rejected)) {
      byte[] reason = FileIo.bytes(rejected, ArtifactException::new, MOST_REASON_BYTES);
      throw new ArtifactException(
          path + " was rejected when it was exported: "
              + new String(reason, StandardCharsets.UTF_8).trim());
    }
  }

  private static void verify(File path, Manifest manifest, ByteBuffer model) {
    if (!manifest.files().containsKey(Names.MODEL_FILE)) {
      throw new ArtifactException(
          new File(path, Names.MANIFEST_FILE) + " has no hash of " + Names.MODEL_FILE);
    }
    for (Map.Entry<String, String> entry : manifest.files().entrySet()) {
      boolean own = entry.getKey().equals(Names.MODEL_FILE);
      checkHash(path, entry.getKey(), entry.getValue(), own ? model : null);
    }
  }

  /** Returns a shipped file's content, whose hash is the manifest's. */
  private static ByteBuffer checkHash(File path, String name, String expected, ByteBuffer read) {
    File file = Paths.inside(path, name);
    ByteBuffer content =
        read != null ? read : FileIo.read(file, ArtifactException::new, FileIo.LARGEST_BYTES);
    Digest.Hash hash = new Digest.Hash();
    hash.add(content.duplicate());
    String found = hash.hex();
    if (!found.equals(expected)) {
      throw new ArtifactException(
          file + " was altered: its sha256 is " + shortened(found) + ", the manifest has "
              + shortened(expected));
    }
    return content;
  }

  private static String shortened(String hash) {
    return hash.substring(0, Math.min(12, hash.length())) + "...";
  }

  /** Returns the content of the `.tflite`, not to be changed. */
  public ByteBuffer model() {
    return model.asReadOnlyBuffer().order(ByteOrder.LITTLE_ENDIAN);
  }

  public Manifest manifest() {
    return manifest;
  }

  /** Returns the folder; null: the artifact is a bare model. */
  public File folder() {
    return folder;
  }

  /**
   * Returns the content of a file that was shipped with the model.
   *
   * @param name its path in the folder
   * @throws ArtifactException there is none, or it was altered
   */
  public ByteBuffer file(String name) {
    if (folder == null || !manifest.files().containsKey(name)) {
      throw new ArtifactException("the artifact has no file " + name);
    }
    return checkHash(folder, name, manifest.files().get(name), null);
  }

  Running run(Engine engine) {
    return new Running(model, manifest, engine);
  }

  /** Runs another model whose signatures are told by a part of the manifest. */
  static Running run(ByteBuffer model, Manifest manifest, Engine engine) {
    ModelCheck.check(model, manifest);
    return new Running(model, manifest, engine);
  }
}
