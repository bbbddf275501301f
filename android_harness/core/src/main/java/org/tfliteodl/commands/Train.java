package org.tfliteodl.commands;

import java.io.File;
import java.util.LinkedHashMap;
import java.util.Map;
import org.tfliteodl.contract.Digest;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.host.Artifact;
import org.tfliteodl.host.Facts;
import org.tfliteodl.host.Loop;
import org.tfliteodl.host.Session;
import org.tfliteodl.host.Summary;
import org.tfliteodl.host.TfLiteEngine;
import org.tfliteodl.streams.PackedStream;
import org.tfliteodl.streams.StoredOrder;

/** Trains on the rows x_train, y_train of a packed stream as they are stored. */
final class Train {
  private Train() {}

  static void run(String[] arguments) {
    Artifact artifact = Artifact.open(new File(arguments[0]));
    PackedStream stream = PackedStream.open(new File(arguments[1]));
    File folder = new File(arguments[2]);
    Map<String, String> facts = new LinkedHashMap<>();
    facts.put("artifact", artifact.manifest().artifactId());
    facts.put("stream", stream.facts().get(Digest.FIELD));
    Facts.note(folder, facts);
    TfLiteEngine engine = new TfLiteEngine(Main.number(arguments[5]));
    try (Session session = Session.open(artifact, engine)) {
      session.restore(folder, System.err::println);
      Tensor y = stream.tensors().get("y_train");
      StoredOrder source = new StoredOrder(stream.tensor("x_train"), y, session.batchSize());
      Summary summary =
          new Loop(session, source, folder)
              .checkpointEvery(Main.number(arguments[4]))
              .note(System.err::println)
              .onRecord(System.out::println)
              .run(Main.number(arguments[3]));
      System.out.println(
          "batches " + summary.batches() + ", steps " + summary.steps() + ", accuracy "
              + summary.accuracy() + ", ms per step " + summary.msPerStep());
    }
  }
}
