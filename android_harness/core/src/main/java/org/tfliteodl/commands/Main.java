package org.tfliteodl.commands;

import java.util.Arrays;
import org.tfliteodl.OdlException;

/**
 * The command line: what a desk asks of a runtime on Java.
 *
 * <pre>
 * replay JOB                               makes calls from stated states, see {@link Replay}
 * prove ARTIFACT THREADS                   repeats the goldens, prints JSON
 * train ARTIFACT STREAM FOLDER STEPS EVERY THREADS  test-then-train, goes on where it was
 * bake ARTIFACT CHECKPOINT OUT             writes the serving twin
 * describe ARTIFACT [KEY]                  checks it, the signature too where a key is given
 * </pre>
 */
public final class Main {
  private Main() {}

  /** Runs one command; errors go to the error stream, exit code 1. */
  public static void main(String[] arguments) {
    try {
      run(arguments);
    } catch (OdlException error) {
      System.err.println(error.getClass().getSimpleName() + ": " + error.getMessage());
      System.exit(1);
    }
  }

  private static void run(String[] arguments) {
    String command = arguments.length == 0 ? "" : arguments[0];
    String[] rest = Arrays.copyOfRange(arguments, Math.min(1, arguments.length), arguments.length);
    if (command.equals("replay") && rest.length == 1) {
      Replay.run(rest[0]);
    } else if (command.equals("prove") && rest.length == 2) {
      Prove.run(rest[0], rest[1]);
    } else if (command.equals("train") && rest.length == 6) {
      Train.run(rest);
    } else if (command.equals("bake") && rest.length == 3) {
      BakeCommand.run(rest[0], rest[1], rest[2]);
    } else if (command.equals("describe") && (rest.length == 1 || rest.length == 2)) {
      Describe.run(rest[0], rest.length == 2 ? rest[1] : null);
    } else {
      throw new OdlException(
          "needs replay JOB, prove ARTIFACT THREADS, train ARTIFACT STREAM FOLDER STEPS EVERY "
              + "THREADS, bake ARTIFACT CHECKPOINT OUT, or describe ARTIFACT [KEY], got "
              + Arrays.toString(arguments));
    }
  }

  /** Returns a number that was typed. */
  static int number(String text) {
    try {
      return Integer.parseInt(text);
    } catch (NumberFormatException error) {
      throw new OdlException("'" + text + "' is no number", error);
    }
  }
}
