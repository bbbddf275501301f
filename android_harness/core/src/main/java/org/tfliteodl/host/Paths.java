package org.tfliteodl.host;

import java.io.File;
import java.io.IOException;
import org.tfliteodl.ArtifactException;

/** Paths that a file gives stay inside the folder they were given for. */
final class Paths {
  private Paths() {}

  /**
   * Returns a file that is inside a folder on every system.
   *
   * @param name parts joined by '/'; symbolic links may not lead out of the folder
   * @throws ArtifactException the path is absolute, leads out, or means something else elsewhere
   */
  static File inside(File folder, String name) {
    boolean odd = name.indexOf('\\') >= 0 || name.indexOf(':') >= 0 || name.indexOf('\0') >= 0;
    for (String part : name.split("/", -1)) {
      odd = odd || part.isEmpty() || part.equals(".") || part.equals("..");
    }
    if (odd) {
      throw new ArtifactException(
          folder + " names a file '" + name + "': needs a path inside it, parts joined by '/', "
              + "without '..', '\\' and ':'");
    }
    File file = new File(folder, name);
    try {
      String root = folder.getCanonicalPath();
      String prefix = root.endsWith(File.separator) ? root : root + File.separator;
      if (!file.getCanonicalPath().startsWith(prefix)) {
        throw new ArtifactException(file + " leads out of its folder");
      }
    } catch (IOException error) {
      throw new ArtifactException("cannot read " + file + ": " + error.getMessage(), error);
    }
    return file;
  }
}
