package org.tfliteodl.host;

import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.lang.management.BufferPoolMXBean;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Map;
import org.junit.Assume;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Tensor;

/** Memory does not grow over 10,000 steps; with -Dslow=true. */
public class LongRunTest {
  private static final int STEPS = 10_000;
  private static final int WARM = 2_000;
  // What the JVM's own tables and its compiler take after the warm-up; a leak of 100 bytes a step
  // would be 800 kB, that of TFLite's public calls is 8 MB.
  private static final long HEAP_BYTES = 400_000;
  private static final long DIRECT_BYTES = 0;
  private static final long RESIDENT_BYTES = 1_500_000;

  @Rule public TemporaryFolder temporary = new TemporaryFolder();

  @Test
  public void memoryDoesNotGrow() throws IOException {
    Assume.assumeTrue("with -Dslow=true", Boolean.getBoolean("slow"));
    for (String name : Artifacts.METHODS) {
      try (Session session = Artifacts.open(name)) {
        Batch batch = Artifacts.batch(session, session.batchSize(), 1);
        Map<String, Tensor> metrics = session.outputs(Names.TRAIN);
        memory(); // what measuring itself takes
        long[] before = null;
        for (int step = 1; step <= STEPS; step++) {
          session.train(batch, metrics);
          if (step % 500 == 0) {
            session.save(temporary.getRoot().toPath().resolve(name).toFile());
            session.infer(Artifacts.batch(session, Names.INFER, 3, step));
          }
          if (step == WARM) {
            before = memory();
          }
        }
        long[] after = memory();
        String shown = name;
        for (int i = 0; i < after.length; i++) {
          shown += " " + before[i] + " -> " + after[i];
        }
        System.out.println(shown);
        assertTrue(shown, after[0] - before[0] <= HEAP_BYTES);
        assertTrue(shown, after[1] - before[1] <= DIRECT_BYTES);
        assertTrue(shown, after[2] - before[2] <= RESIDENT_BYTES);
      }
    }
  }

  private static void sleep() {
    try {
      Thread.sleep(50);
    } catch (InterruptedException error) {
      throw new IllegalStateException(error);
    }
  }

  /** Returns bytes of the heap in use, of direct buffers, and of the process' resident memory. */
  private static long[] memory() throws IOException {
    for (int i = 0; i < 3; i++) {
      System.gc();
      sleep(); // direct buffers are freed a little later
    }
    long direct = 0;
    for (BufferPoolMXBean pool :
        ManagementFactory.getPlatformMXBeans(BufferPoolMXBean.class)) {
      direct += pool.getName().equals("direct") ? pool.getMemoryUsed() : 0;
    }
    byte[] statm = Files.readAllBytes(Paths.get("/proc/self/statm"));
    String[] pages = new String(statm, StandardCharsets.US_ASCII).split(" ");
    Runtime runtime = Runtime.getRuntime();
    long heap = runtime.totalMemory() - runtime.freeMemory();
    return new long[] {heap, direct, Long.parseLong(pages[1]) * 4096};
  }
}
