package org.tfliteodl.run;

import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.tfliteodl.host.Facts;
import org.tfliteodl.host.Journal;

/** Where an app keeps artifacts, streams and runs, and what of a run may leave the phone. */
public final class Folders {
  private static final List<String> SHAREABLE =
      Collections.unmodifiableList(Arrays.asList(Journal.RECORDS, Facts.FILE, Status.FILE));

  private final File root;

  /**
   * @param root an app's own storage, such as {@code context.getFilesDir()}
   */
  public Folders(File root) {
    this.root = root;
  }

  public File artifact(String name) {
    return new File(new File(root, "artifacts"), name);
  }

  public File stream(String name) {
    return new File(new File(root, "streams"), name);
  }

  public File run(String name) {
    return new File(new File(root, "runs"), name);
  }

  /** Returns the names of what lies in "artifacts", "streams" or "runs", sorted. */
  public List<String> names(String kind) {
    String[] found = new File(root, kind).list((folder, name) -> !name.startsWith("."));
    List<String> names = new ArrayList<>(Arrays.asList(found == null ? new String[0] : found));
    Collections.sort(names);
    return names;
  }

  /**
   * Returns the files of a run that may be shared: its records, facts and status.
   *
   * <p>Checkpoints never: they hold replay buffers and enrolled rows, which are the user's data.
   */
  public List<File> shareable(String run) {
    List<File> found = new ArrayList<>();
    for (String name : SHAREABLE) {
      File file = new File(run(run), name);
      if (file.isFile()) {
        found.add(file);
      }
    }
    return found;
  }

  /** Whether a file of that name may be shared. */
  public static boolean isShareable(String name) {
    return SHAREABLE.contains(name);
  }
}
