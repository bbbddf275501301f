package org.tfliteodl.host;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.CheckpointException;
import org.tfliteodl.DataException;
import org.tfliteodl.OdlException;
import org.tfliteodl.bake.Bake;
import org.tfliteodl.contract.Manifest;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.streams.PackedStream;

/** Damaged copies are refused, or equal; nothing else comes of them. */
public class HostileTest {
  private static final int COPIES = 400;

  @Rule public TemporaryFolder temporary = new TemporaryFolder();

  /** Uses a file's content; throws an OdlException where it is refused. */
  private interface Use {
    void of(byte[] content) throws IOException;
  }

  /** Returns a copy with a bit flipped, a run of bytes of another value, or the end cut. */
  private static byte[] damaged(byte[] whole, Random random) {
    byte[] found = whole.clone();
    int at = random.nextInt(whole.length);
    switch (random.nextInt(4)) {
      case 0:
        return Arrays.copyOf(whole, at);
      case 1:
        int end = Math.min(whole.length, at + 1 + random.nextInt(8));
        Arrays.fill(found, at, end, (byte) (random.nextInt(3) - 1));
        return found;
      default:
        found[at] ^= (byte) (1 << random.nextInt(8));
        return found;
    }
  }

  /** Returns how many copies were not refused; anything but an OdlException fails the test. */
  private static int taken(byte[] whole, Use use) throws IOException {
    Random random = new Random(5);
    int taken = 0;
    for (int i = 0; i < COPIES; i++) {
      byte[] copy = damaged(whole, random);
      try {
        use.of(copy);
        taken += Arrays.equals(copy, whole) ? 0 : 1;
      } catch (OdlException error) {
        assertTrue(error.toString(), error.getMessage().length() > 8);
      }
    }
    return taken;
  }

  private static byte[] content(String artifact, String file) throws IOException {
    return Files.readAllBytes(new File(Artifacts.folder(artifact), file).toPath());
  }

  @Test
  public void noDamagedModelReachesTheRuntime() throws IOException {
    byte[] whole = content("finetune-sgd", "model.tflite");
    assertEquals(0, taken(whole, copy -> Artifact.of(ByteBuffer.wrap(copy))));
  }

  @Test
  public void aDamagedManifestIsRefusedOrSaysSomethingElse() throws IOException {
    byte[] whole = content("contrastive", "manifest.json");
    assertTrue(taken(whole, copy -> Manifest.parse(copy)) < COPIES / 2);
  }

  @Test
  public void aFolderWithADamagedFileIsRefused() throws IOException {
    File source = Artifacts.folder("finetune-sgd");
    File folder = temporary.newFolder();
    String[] names = {"manifest.json", "model.tflite", "serve.tflite"};
    copyTree(source, folder);
    for (String name : names) {
      File file = new File(folder, name);
      byte[] whole = Files.readAllBytes(file.toPath());
      Use use =
          copy -> {
            Files.write(file.toPath(), copy);
            Artifact.open(folder);
          };
      Random random = new Random(6);
      for (int i = 0; i < 25; i++) {
        byte[] copy = damaged(whole, random);
        boolean refused = false;
        try {
          use.of(copy);
        } catch (OdlException error) {
          refused = true;
        }
        boolean same = Arrays.equals(copy, whole);
        if (name.equals("manifest.json") && !refused) {
          // Spaces, and `delivery`, of which nothing is made here.
          same = Manifest.parse(copy).same(Manifest.parse(whole));
        }
        assertTrue(name + " " + i, refused || same);
      }
      Files.write(file.toPath(), whole);
    }
    Artifact.open(folder);
  }

  private static void copyTree(File from, File to) throws IOException {
    to.mkdirs();
    for (File one : from.listFiles()) {
      if (one.isDirectory()) {
        copyTree(one, new File(to, one.getName()));
      } else {
        Files.copy(one.toPath(), new File(to, one.getName()).toPath());
      }
    }
  }

  @Test
  public void aDamagedCheckpointIsRefusedOrEqual() throws IOException {
    try (Session session = Artifacts.open("contrastive")) {
      session.train(Artifacts.batch(session, session.batchSize(), 1));
      File file = session.save(temporary.getRoot());
      Map<String, Tensor> state = session.state(true);
      taken(
          Files.readAllBytes(file.toPath()),
          copy -> {
            Files.write(file.toPath(), copy);
            Checkpoint found = Checkpoints.load(file, session.manifest());
            for (String name : state.keySet()) {
              assertTrue(name, state.get(name).same(found.state().get(name)));
            }
            assertEquals(1, found.step());
          });
      Files.write(file.toPath(), new byte[9]);
      assertEquals(null, refusedBy(() -> Checkpoints.load(file, session.manifest())));
    }
  }

  /** Returns null where a CheckpointException came. */
  private static Object refusedBy(Runnable task) {
    try {
      task.run();
      return "taken";
    } catch (CheckpointException error) {
      return null;
    }
  }

  @Test
  public void aDamagedStreamIsRefusedOrEqual() throws IOException {
    File whole = new File(System.getProperty("conformance"), "files/stream_0.bin");
    File file = temporary.newFile();
    PackedStream wanted = PackedStream.open(whole);
    taken(
        Files.readAllBytes(whole.toPath()),
        copy -> {
          // A mapped file must not become shorter: each copy has a name of its own.
          File fresh = File.createTempFile("copy", "", file.getParentFile());
          Files.write(fresh.toPath(), copy);
          PackedStream found = PackedStream.open(fresh);
          for (String name : wanted.tensors().keySet()) {
            assertTrue(name, wanted.tensor(name).same(found.tensor(name)));
          }
        });
    assertTrue(refusedStream(temporary.getRoot()) && refusedStream(new File("/dev/null")));
  }

  private static boolean refusedStream(File file) {
    try {
      PackedStream.open(file);
      return false;
    } catch (DataException error) {
      return true;
    }
  }

  @Test
  public void aDamagedManifestBakesNothingElse() throws IOException {
    byte[] whole = content("distill-online", "manifest.json");
    File folder = Artifacts.folder("distill-online");
    ByteBuffer twin =
        FileIo.read(new File(folder, "serve.tflite"), ArtifactException::new, 1 << 24);
    try (Session session = Artifacts.open("distill-online")) {
      Map<String, Tensor> state = session.state(true);
      taken(
          whole,
          copy -> {
            Manifest manifest = Manifest.parse(copy);
            Bake.patched(twin, manifest, state);
          });
    }
  }

  @Test
  public void damagedGoldensAreRefusedOrFail() throws IOException {
    File folder = temporary.newFolder();
    copyTree(Artifacts.folder("finetune-sgd"), folder);
    File index = new File(folder, "goldens/index.json");
    Artifact artifact = Artifact.open(folder);
    byte[] whole = Files.readAllBytes(index.toPath());
    Random random = new Random(7);
    for (int i = 0; i < 20; i++) {
      Files.write(index.toPath(), damaged(whole, random));
      try {
        List<Goldens.Result> results = Goldens.check(artifact, new TfLiteEngine(1));
        assertTrue(!results.isEmpty());
      } catch (OdlException error) {
        assertTrue(error.toString(), error.getMessage().length() > 8);
      }
    }
  }
}
