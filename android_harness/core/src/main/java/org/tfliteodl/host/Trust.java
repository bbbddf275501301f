package org.tfliteodl.host;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.contract.Digest;

/**
 * An Ed25519 public key that artifacts must be signed by: who exported one, on top of whether it is
 * whole. Needs a platform that knows Ed25519: Java 15, or Android 13.
 */
public final class Trust {
  private static final String ED25519 = "Ed25519";
  private static final int KEY_BYTES = 32;
  private static final int SIGNATURE_BYTES = 64;
  private static final String SIGNATURE_NAME = "tflite_odl.signature";
  // What stands before the 32 bytes in the standard encoding (RFC 8410).
  private static final byte[] ENCODING = {
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00
  };

  private final PublicKey key;

  /**
   * @param key 32 bytes
   * @throws ArtifactException it is no key, or this platform knows no Ed25519
   */
  public Trust(byte[] key) {
    if (key.length != KEY_BYTES) {
      throw new ArtifactException("an Ed25519 key has 32 bytes, got " + key.length);
    }
    ByteBuffer encoded = ByteBuffer.allocate(ENCODING.length + KEY_BYTES);
    encoded.put(ENCODING).put(key);
    try {
      this.key =
          KeyFactory.getInstance(ED25519).generatePublic(new X509EncodedKeySpec(encoded.array()));
    } catch (GeneralSecurityException error) {
      throw new ArtifactException(
          "no Ed25519 key, or this platform knows none (Java 15, Android 13): "
              + error.getMessage(),
          error);
    }
  }

  /**
   * Checks a sealed model: signed is the sha256 of the whole file, the signature's and the seal's
   * bytes set to 0.
   *
   * @throws ArtifactException it has no signature, or another key's
   */
  void checkModel(ByteBuffer model, String where) {
    int[] place = Embedded.place(model, SIGNATURE_NAME);
    int[] manifest = Embedded.place(model);
    if (place == null || place[1] != SIGNATURE_BYTES) {
      throw new ArtifactException(where + " has no signature");
    }
    byte[] signature = new byte[SIGNATURE_BYTES];
    ByteBuffer content = ByteBuffer.allocate(model.limit());
    content.put(model.duplicate());
    content.position(place[0]);
    content.get(signature);
    content.position(place[0]);
    content.put(new byte[SIGNATURE_BYTES]);
    content.position(manifest[0] + manifest[1] - Embedded.SEAL_BYTES);
    content.put(new byte[Embedded.SEAL_BYTES]);
    content.clear();
    check("tflite_odl model\n", content, signature, where);
  }

  /**
   * Checks a manifest.json, which has the hashes of all other files.
   *
   * @throws ArtifactException another key signed it
   */
  void checkManifest(byte[] manifest, byte[] signature, String where) {
    check("tflite_odl manifest\n", ByteBuffer.wrap(manifest), signature, where);
  }

  private void check(String kind, ByteBuffer content, byte[] signature, String where) {
    Digest.Hash hash = new Digest.Hash();
    hash.add(content);
    boolean own;
    try {
      Signature verifier = Signature.getInstance(ED25519);
      verifier.initVerify(key);
      verifier.update(kind.getBytes(StandardCharsets.US_ASCII));
      verifier.update(hash.bytes());
      own = signature.length == SIGNATURE_BYTES && verifier.verify(signature);
    } catch (GeneralSecurityException error) {
      own = false; // no signature at all
    }
    if (!own) {
      throw new ArtifactException(where + " was not signed by the trusted key");
    }
  }
}
