package org.tfliteodl.host;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.StandardOpenOption;
import java.util.Date;
import org.tfliteodl.BusyException;
import org.tfliteodl.CheckpointException;

/**
 * The right to write to a folder, which one session has at a time.
 *
 * <p>It is a lock of the system on the file ".lock" there, so it ends with the process that holds
 * it, whichever way that ends. The file says since when it is held.
 */
final class Claim {
  static final String LOCK_FILE = ".lock";
  private static final int MOST_BYTES = 4096;

  private final File folder;
  private final FileChannel file;

  /**
   * @param folder made if it is not there. What was left half-written there is removed
   * @throws BusyException someone else holds it
   * @throws CheckpointException the folder cannot be written
   */
  Claim(File folder) {
    this.folder = folder.getAbsoluteFile();
    file =
        FileIo.told(
            CheckpointException::new,
            "cannot write to " + folder,
            () -> {
              java.nio.file.Files.createDirectories(folder.toPath());
              return FileChannel.open(
                  new File(folder, LOCK_FILE).toPath(),
                  StandardOpenOption.CREATE,
                  StandardOpenOption.READ,
                  StandardOpenOption.WRITE);
            });
    boolean mine = false;
    try {
      mine = lock();
      if (!mine) {
        throw new BusyException(
            folder + " is in use by " + holder() + ": wait for its end, or take another folder");
      }
      note("a session since " + new Date());
      FileIo.clean(folder);
    } finally {
      if (!mine) {
        close();
      }
    }
  }

  private boolean lock() {
    try {
      FileLock found = file.tryLock();
      return found != null;
    } catch (OverlappingFileLockException error) {
      return false;
    } catch (IOException error) {
      return true; // a file system without locks
    }
  }

  boolean holds(File other) {
    return folder.equals(other.getAbsoluteFile());
  }

  /** Lets others have the folder. */
  void release() {
    note("");
    close();
  }

  private void close() {
    try {
      file.close();
    } catch (IOException error) {
      // the lock ends with the process then
    }
  }

  /** Writes who holds the folder; on a full disk nobody is named. */
  private void note(String text) {
    try {
      file.truncate(0);
      file.write(ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8)), 0);
    } catch (IOException error) {
      // the lock holds all the same
    }
  }

  private String holder() {
    try {
      ByteBuffer content = ByteBuffer.allocate(MOST_BYTES);
      int count = Math.max(0, file.read(content, 0));
      String text = new String(content.array(), 0, count, StandardCharsets.UTF_8);
      return text.isEmpty() ? "another session" : text;
    } catch (IOException error) {
      return "another session";
    }
  }
}
