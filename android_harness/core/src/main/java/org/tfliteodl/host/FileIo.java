package org.tfliteodl.host;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.UUID;
import org.tfliteodl.OdlException;

/** Reads and writes files with care: bounded, whole, and told in this library's errors. */
public final class FileIo {
  /** Of a model: TFLite's own limit. */
  public static final long LARGEST_BYTES = Integer.MAX_VALUE;

  private static final String WRITING_BEGIN = ".java-";
  private static final String WRITING_END = ".writing";

  private FileIo() {}

  /** Makes an error of a kind, such as {@code ArtifactException::new}. */
  public interface Kind {
    OdlException of(String message, Throwable cause);
  }

  /** Something with a file, or its name, that the system may refuse. */
  interface Task<T> {
    T run() throws IOException;
  }

  /** Turns what the system says into an error of a kind, whose message begins with a text. */
  static <T> T told(Kind kind, String what, Task<T> task) {
    try {
      return task.run();
    } catch (IOException | InvalidPathException | SecurityException error) {
      String reason = error.getMessage() == null ? error.toString() : error.getMessage();
      throw kind.of(what + ": " + reason, error);
    }
  }

  /**
   * Returns the content of a regular file in direct memory, little-endian.
   *
   * @param most a larger file is refused unread
   * @throws OdlException of the kind: it cannot be read, and why
   */
  public static ByteBuffer read(File file, Kind kind, long most) {
    return told(
        kind,
        "cannot read " + file,
        () -> {
          try (FileChannel channel = opened(file)) {
            long size = channel.size();
            if (size > most) {
              throw new IOException("it has " + size + " bytes, " + most + " at most are read");
            }
            ByteBuffer found = ByteBuffer.allocateDirect((int) size);
            while (found.hasRemaining() && channel.read(found) >= 0) {
              // goes on where the last read ended
            }
            if (found.hasRemaining()) {
              throw new IOException("it became shorter while it was read");
            }
            found.flip();
            return found.order(ByteOrder.LITTLE_ENDIAN);
          }
        });
  }

  /** Returns the content of a small regular file. */
  public static byte[] bytes(File file, Kind kind, long most) {
    ByteBuffer content = read(file, kind, most);
    byte[] found = new byte[content.remaining()];
    content.get(found);
    return found;
  }

  /**
   * Returns a regular file mapped into memory, little-endian, to be read alone.
   *
   * @throws OdlException of the kind: it cannot be read, and why
   */
  public static ByteBuffer mapped(File file, Kind kind) {
    return told(
        kind,
        "cannot read " + file,
        () -> {
          try (FileChannel channel = opened(file)) {
            long size = channel.size();
            if (size > LARGEST_BYTES) {
              throw new IOException(
                  "it has " + size + " bytes, " + LARGEST_BYTES + " at most are read");
            }
            ByteBuffer found = channel.map(FileChannel.MapMode.READ_ONLY, 0, size);
            return found.order(ByteOrder.LITTLE_ENDIAN);
          }
        });
  }

  /** Opens a regular file to read: pipes, devices and folders are refused unread. */
  static FileChannel opened(File file) throws IOException {
    Path path = file.toPath();
    if (Files.exists(path) && !Files.isRegularFile(path)) {
      throw new IOException("it is no file, but a folder, a pipe or a device");
    }
    if (!Files.exists(path)) {
      throw new IOException("there is no such file");
    }
    return FileChannel.open(path, StandardOpenOption.READ);
  }

  /** Whether a name is taken, be it by a link that leads nowhere. */
  static boolean exists(File file) {
    return Files.exists(file.toPath()) || Files.isSymbolicLink(file.toPath());
  }

  /**
   * Writes a file whole and durably, or leaves what is there as it is.
   *
   * @throws OdlException of the kind: it cannot be written, and why
   */
  public static void write(File file, List<ByteBuffer> content, Kind kind) {
    told(
        kind,
        "cannot write " + file,
        () -> {
          File fresh = staged(file, content);
          try {
            replace(fresh, file);
          } finally {
            fresh.delete();
          }
          syncFolder(file.getAbsoluteFile().getParentFile());
          return null;
        });
  }

  /** Returns a durable file of a name of its own beside a file, to be renamed to it. */
  static File staged(File file, List<ByteBuffer> content) throws IOException {
    String name = WRITING_BEGIN + UUID.randomUUID() + WRITING_END;
    File fresh = new File(file.getAbsoluteFile().getParentFile(), name);
    boolean whole = false;
    try (FileChannel channel =
        FileChannel.open(
            fresh.toPath(), StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
      for (ByteBuffer part : content) {
        while (part.hasRemaining()) {
          channel.write(part);
        }
      }
      channel.force(true);
      whole = true;
    } finally {
      if (!whole) {
        fresh.delete();
      }
    }
    return fresh;
  }

  /** Renames a file in one step to a name that may be taken. */
  static void replace(File from, File to) throws IOException {
    Files.move(
        from.toPath(),
        to.toPath(),
        StandardCopyOption.ATOMIC_MOVE,
        StandardCopyOption.REPLACE_EXISTING);
  }

  /** Removes what a kill left half-written in a folder that nobody else writes to. */
  static void clean(File folder) {
    File[] all = folder.listFiles();
    for (File one : all == null ? new File[0] : all) {
      if (one.getName().startsWith(WRITING_BEGIN) && one.getName().endsWith(WRITING_END)) {
        one.delete();
      }
    }
  }

  /** Makes renames and new names in a folder durable, where the system can. */
  static void syncFolder(File folder) throws IOException {
    FileChannel channel;
    try {
      channel = FileChannel.open(folder.toPath(), StandardOpenOption.READ);
    } catch (IOException error) {
      return; // a system that opens no folders
    }
    try {
      channel.force(true);
    } finally {
      channel.close();
    }
  }
}
