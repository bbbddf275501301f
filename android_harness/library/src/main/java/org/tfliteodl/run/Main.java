package org.tfliteodl.run;

import java.io.File;
import java.util.LinkedHashMap;
import java.util.Map;
import org.tfliteodl.OdlException;
import org.tfliteodl.host.TfLiteEngine;

/** What the app does, as a command line: FILES name=value ..., names as {@link Request} has. */
public final class Main {
  private Main() {}

  /** Makes one run in a folder laid out as an app's storage; exit code 1 if it fails. */
  public static void main(String[] arguments) {
    try {
      if (arguments.length == 0) {
        throw new OdlException("needs a folder, then name=value ...");
      }
      Map<String, String> values = new LinkedHashMap<>();
      for (int i = 1; i < arguments.length; i++) {
        int sign = arguments[i].indexOf('=');
        values.put(
            arguments[i].substring(0, Math.max(sign, 0)), arguments[i].substring(sign + 1));
      }
      Request request = new Request(values);
      TfLiteEngine engine = new TfLiteEngine(request.threads());
      Folders folders = new Folders(new File(arguments[0]));
      new Run(folders, request, engine, null, (status, record) -> {}).run();
    } catch (OdlException error) {
      System.err.println(error.getClass().getSimpleName() + ": " + error.getMessage());
      System.exit(1);
    }
  }
}
