package org.tfliteodl.host;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32;
import org.tfliteodl.DataException;
import org.tfliteodl.contract.Json;
import org.tfliteodl.contract.JsonException;

/**
 * The file of a run's records: a JSON object a line, each with its checksum.
 *
 * <p>A line is a record's JSON with "crc" as its last field: the CRC-32 of the line's bytes without
 * that field, 8 hexadecimal digits. The checkpoint says how many batches there are; the journal
 * follows it.
 */
public final class Journal implements AutoCloseable {
  /** The file's name in a run's folder. */
  public static final String RECORDS = "records.jsonl";

  private static final String DAMAGED_SUFFIX = ".damaged";
  private static final int MOST_LINE_BYTES = 1 << 20;
  private static final int MOST_PENDING = 64;
  private static final String CRC_BEGIN = ", \"crc\": \"";
  private static final String CRC_END = "\"}";
  private static final int CRC_DIGITS = 8;
  private static final String[] TOLD = {"loss", "correct", "absolute_error", "count"};

  private final File file;
  private final FileChannel channel;
  private final List<String> pending = new ArrayList<>();

  /** Opens a file at its end, for more records; made if it is not there. */
  Journal(File file) {
    this.file = file;
    channel =
        told(
            file,
            () ->
                FileChannel.open(
                    file.toPath(),
                    StandardOpenOption.CREATE,
                    StandardOpenOption.WRITE,
                    StandardOpenOption.APPEND));
  }

  private static <T> T told(File file, FileIo.Task<T> task) {
    return FileIo.told(DataException::new, "cannot write " + file, task);
  }

  /** Takes one more record; {@link #sync} makes it durable. */
  void append(String record) {
    pending.add(line(record));
    if (pending.size() >= MOST_PENDING) {
      write();
    }
  }

  /**
   * Writes what was appended, durably.
   *
   * @throws DataException the disk is full or gone. A line that is there in part is cut when the
   *     run goes on
   */
  void sync() {
    write();
    told(
        file,
        () -> {
          channel.force(false);
          return null;
        });
  }

  private void write() {
    ByteBuffer content =
        ByteBuffer.wrap(String.join("", pending).getBytes(StandardCharsets.UTF_8));
    pending.clear();
    told(
        file,
        () -> {
          while (content.hasRemaining()) {
            channel.write(content);
          }
          return null;
        });
  }

  @Override
  public void close() {
    told(
        file,
        () -> {
          channel.close();
          return null;
        });
  }

  /** Returns a record as a line of the file, its end included. */
  static String line(String record) {
    String begin = record.substring(0, record.length() - 1);
    return begin + CRC_BEGIN + crc(record) + CRC_END + "\n";
  }

  private static String crc(String record) {
    CRC32 total = new CRC32();
    total.update(record.getBytes(StandardCharsets.UTF_8));
    return String.format("%08x", total.getValue());
  }

  /** Returns the record of a line without its end, null if it is damaged. */
  static Json parse(String line) {
    int begin = line.length() - CRC_END.length() - CRC_DIGITS - CRC_BEGIN.length();
    if (begin < 1 || !line.startsWith(CRC_BEGIN, begin) || !line.endsWith(CRC_END)) {
      return null;
    }
    String record = line.substring(0, begin) + "}";
    String found = line.substring(begin + CRC_BEGIN.length(), line.length() - CRC_END.length());
    if (!crc(record).equals(found)) {
      return null;
    }
    try {
      Json json = Json.parse(record);
      return isRecord(json) ? json : null;
    } catch (JsonException error) {
      return null;
    }
  }

  /** Whether a whole line says what a summary needs, in numbers. */
  private static boolean isRecord(Json json) {
    boolean whole = json.get("batch").isWhole() && json.get("rejected_rows").isNumber();
    for (String name : TOLD) {
      whole = whole && (json.find(name) == null || json.get(name).isNumber());
    }
    return whole && json.get("ms").isNumber();
  }

  /** Is given each line of a file and its record, null if the line is damaged. */
  interface Reader {
    void read(String line, Json record) throws IOException;
  }

  /** Reads the lines of a file, whole or damaged, in their order; none if there is no file. */
  static void read(File file, Reader reader) {
    if (!FileIo.exists(file)) {
      return;
    }
    FileIo.told(
        DataException::new,
        "cannot read " + file,
        () -> {
          try (FileChannel channel = FileIo.opened(file);
              InputStream content =
                  new BufferedInputStream(Channels.newInputStream(channel))) {
            for (byte[] line = next(content); line != null; line = next(content)) {
              boolean ended = line.length > 0 && line[line.length - 1] == '\n';
              String text =
                  new String(
                      line, 0, line.length - (ended ? 1 : 0), StandardCharsets.UTF_8);
              reader.read(text, ended ? parse(text) : null);
            }
          }
          return null;
        });
  }

  /** Returns a line with its end, a part of one that is too long, null at the file's end. */
  private static byte[] next(InputStream content) throws IOException {
    ByteArrayOutputStream found = new ByteArrayOutputStream();
    int one = 0;
    while (one != '\n' && found.size() < MOST_LINE_BYTES && (one = content.read()) >= 0) {
      found.write(one);
    }
    return found.size() == 0 ? null : found.toByteArray();
  }

  /**
   * Makes a file follow the checkpoint: records of batches 1 to a position.
   *
   * <p>What came after is redone, a line that a kill cut short too. Damaged lines before are cut;
   * the file as it was is kept beside it then.
   *
   * @param position batches that the state has seen
   * @param note told what the user should know
   */
  static void keep(File file, long position, Note note) {
    if (!FileIo.exists(file)) {
      if (position > 0) {
        note.tell(lost(file, position, position));
      }
      return;
    }
    Kept kept = new Kept(position);
    told(
        file,
        () -> {
          File fresh = FileIo.staged(file, new ArrayList<ByteBuffer>());
          try {
            kept.copy(file, fresh);
            if (kept.lost() > 0) {
              File damaged = new File(file.getPath() + DAMAGED_SUFFIX);
              Files.copy(file.toPath(), damaged.toPath(), StandardCopyOption.REPLACE_EXISTING);
            }
            if (kept.cut > 0) {
              FileIo.replace(fresh, file);
            }
          } finally {
            fresh.delete();
          }
          return null;
        });
    if (kept.lost() > 0) {
      note.tell(lost(file, kept.lost(), position));
    } else if (kept.damaged > 0) {
      note.tell(file + ": a damaged end was cut, its batches are redone");
    }
  }

  private static String lost(File file, long lost, long position) {
    return file + ": the records of " + lost + " of the " + position + " batches so far are "
        + "missing or damaged; the summary is of the others";
  }

  /** Which lines are kept, and what was cut. */
  private static final class Kept {
    private final long position;
    private long last;
    private long kept;
    private long cut;
    private long damaged;

    Kept(long position) {
      this.position = position;
    }

    long lost() {
      return position - kept;
    }

    void copy(File from, File to) throws IOException {
      try (FileChannel channel = FileChannel.open(to.toPath(), StandardOpenOption.WRITE);
          OutputStream out = new java.io.BufferedOutputStream(Channels.newOutputStream(channel))) {
        read(from, (line, record) -> take(line, record, out));
        out.flush();
        channel.force(true);
      }
    }

    private void take(String line, Json record, OutputStream out) throws IOException {
      long batch = record == null ? 0 : record.get("batch").whole();
      if (last < batch && batch <= position) {
        last = batch;
        kept++;
        out.write((line + "\n").getBytes(StandardCharsets.UTF_8));
        return;
      }
      cut++;
      damaged += record == null || batch <= last ? 1 : 0;
    }
  }
}
