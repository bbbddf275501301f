package org.tfliteodl.commands;

import java.io.File;
import org.tfliteodl.host.Artifact;
import org.tfliteodl.host.Goldens;
import org.tfliteodl.host.TfLiteEngine;

/** Repeats an artifact's goldens; prints the results, a JSON array, as the last line. */
final class Prove {
  private Prove() {}

  static void run(String artifact, String threads) {
    StringBuilder text = new StringBuilder("[");
    String comma = "";
    for (Goldens.Result one :
        Goldens.check(
            Artifact.open(new File(artifact)), new TfLiteEngine(Main.number(threads)))) {
      text.append(comma).append(one.toJson());
      comma = ", ";
    }
    System.out.println(text.append(']'));
  }
}
