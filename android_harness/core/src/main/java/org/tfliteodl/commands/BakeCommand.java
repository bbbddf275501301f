package org.tfliteodl.commands;

import java.io.File;
import java.nio.ByteBuffer;
import java.util.Collections;
import org.tfliteodl.CheckpointException;
import org.tfliteodl.bake.Bake;
import org.tfliteodl.host.Artifact;
import org.tfliteodl.host.Checkpoint;
import org.tfliteodl.host.Checkpoints;
import org.tfliteodl.host.FileIo;

/** Bakes a checkpoint, or the newest of a folder, into the artifact's serving twin. */
final class BakeCommand {
  private BakeCommand() {}

  static void run(String folder, String checkpoint, String out) {
    Artifact artifact = Artifact.open(new File(folder));
    Checkpoint found =
        Checkpoints.find(new File(checkpoint), artifact.manifest(), System.err::println);
    if (found == null) {
      throw new CheckpointException("no checkpoint in " + checkpoint);
    }
    ByteBuffer twin = Bake.bake(artifact, found.state());
    FileIo.write(new File(out), Collections.singletonList(twin), CheckpointException::new);
  }
}
