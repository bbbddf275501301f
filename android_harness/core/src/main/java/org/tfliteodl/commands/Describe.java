package org.tfliteodl.commands;

import java.io.File;
import org.tfliteodl.OdlException;
import org.tfliteodl.host.Artifact;
import org.tfliteodl.host.Trust;

/** Checks an artifact, its signature too where a key is given, and says what it is. */
final class Describe {
  private Describe() {}

  static void run(String path, String key) {
    Trust trusted = key == null ? null : new Trust(bytes(key));
    Artifact artifact = Artifact.open(new File(path), trusted);
    System.out.println(
        artifact.manifest().method() + " " + artifact.manifest().artifactId() + " "
            + artifact.manifest().signatures().keySet());
  }

  private static byte[] bytes(String hexadecimal) {
    byte[] found = new byte[hexadecimal.length() / 2];
    for (int i = 0; i < found.length; i++) {
      try {
        found[i] = (byte) Integer.parseInt(hexadecimal.substring(2 * i, 2 * i + 2), 16);
      } catch (NumberFormatException error) {
        throw new OdlException("a key is 64 hexadecimal digits", error);
      }
    }
    return found;
  }
}
