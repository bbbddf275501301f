package org.tfliteodl.host;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import com.sun.management.ThreadMXBean;
import java.io.File;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.tfliteodl.BusyException;
import org.tfliteodl.CheckpointException;
import org.tfliteodl.ContractException;
import org.tfliteodl.ForeignCheckpointException;
import org.tfliteodl.RunException;
import org.tfliteodl.contract.Dtype;
import org.tfliteodl.contract.Manifest;
import org.tfliteodl.contract.Names;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.TensorSpec;

/** The session over the true runtime. */
public class SessionTest {
  @Rule public TemporaryFolder temporary = new TemporaryFolder();

  @Test
  public void everyMethodLearnsAndItsOutputsAreRewound() {
    for (String name : Artifacts.METHODS) {
      try (Session session = Artifacts.open(name)) {
        Batch batch = Artifacts.batch(session, session.batchSize(), 1);
        Map<String, Tensor> metrics = session.outputs(Names.TRAIN);
        for (int step = 1; step <= 3; step++) {
          session.train(batch, metrics);
          assertEquals(name, step, metrics.get("step").getInt(0));
          assertTrue(name, metrics.get("loss").getFloat(0) > 0);
        }
        assertEquals(3, session.step());
        assertEquals(3, session.position());
        Batch rows = Artifacts.batch(session, Names.INFER, 5, 2);
        Map<String, Tensor> first = session.infer(rows);
        Map<String, Tensor> second = session.infer(rows);
        for (String output : first.keySet()) {
          assertEquals(5, first.get(output).rows());
          assertTrue(name, first.get(output).same(second.get(output)));
        }
      }
    }
  }

  @Test
  public void tflitesPublicCallsGiveTheSame() {
    for (String name : Artifacts.METHODS) {
      try (Session session = Artifacts.open(name);
          Session other = Session.open(Artifacts.folder(name), new TfLiteEngine(1, false))) {
        for (int seed = 0; seed < 3; seed++) {
          Batch batch = Artifacts.batch(session, session.batchSize(), seed);
          assertSame(other.train(batch), session.train(batch));
        }
        assertSame(other.state(true), session.state(true));
        assertSame(
            other.infer(Artifacts.batch(other, Names.INFER, 5, 2)),
            session.infer(Artifacts.batch(session, Names.INFER, 5, 2)));
      }
    }
  }

  @Test
  public void rowsOfAnyNumberAreThoseOfOneAtATime() {
    try (Session session = Artifacts.open("finetune-sgd")) {
      TensorSpec spec = session.manifest().signature(Names.INFER).inputs().get(0);
      int width = spec.count() / spec.size(0);
      float[][] rows = new float[7][width];
      for (int i = 0; i < rows.length; i++) {
        rows[i][i] = 1 + i;
      }
      float[][] together = session.infer(rows);
      assertEquals(7, together.length);
      for (int i = 0; i < rows.length; i++) {
        assertArrayEquals(together[i], session.infer(new float[][] {rows[i]})[0], 1e-6f);
      }
      Batch many = Artifacts.batch(session, 2 * session.batchSize() + 1, 4);
      assertEquals(2 * session.batchSize() + 1, session.evaluate(many).get("count"), 0);
    }
  }

  @Test
  public void whatDoesNotFitIsRefusedAndTheStateIsAsItWas() {
    try (Session session = Artifacts.open("finetune-sgd")) {
      int rows = session.batchSize();
      Batch good = Artifacts.batch(session, rows, 1);
      Map<String, Tensor> named = good.named(session.manifest().signature(Names.TRAIN));
      Tensor x = named.get("x");
      Tensor y = named.get("y");
      int[] shape = x.shape();
      List<Batch> bad = new ArrayList<>();
      bad.add(new Batch().put("y", y));
      bad.add(new Batch().put("x", x).put("z", y));
      bad.add(Batch.of(Tensor.zeros(Dtype.UINT8, shape), y));
      bad.add(Batch.of(Tensor.zeros(Dtype.FLOAT32, rows, 1), y));
      bad.add(Batch.of(x, Tensor.of(new int[] {0})));
      bad.add(Batch.of(x, Tensor.of(new float[rows])));
      bad.add(Artifacts.batch(session, rows + 1, 1));
      bad.add(Artifacts.batch(session, 0, 1));
      bad.add(Artifacts.batch(session, rows, 1).put("count", Tensor.of(new int[] {rows + 1})));
      bad.add(Artifacts.batch(session, rows, 1).put("count", Tensor.of(new int[] {-1})));
      Map<String, Tensor> before = session.state(true);
      for (Batch one : bad) {
        String message =
            assertThrows(ContractException.class, () -> session.train(one)).getMessage();
        assertTrue(message, message.contains("needs") || message.contains("rows differ"));
      }
      // What Java's own API takes without a word: an input that is missing is stale data.
      assertThrows(
          ContractException.class,
          () -> session.run(Names.TRAIN, Collections.singletonMap("x", x)));
      Map<String, Double> rates = new HashMap<>();
      rates.put("learning_rate", -1.0);
      assertThrows(ContractException.class, () -> session.configure(rates));
      assertSame(before, session.state(true));
      assertEquals(0, session.position());
      assertEquals(1, session.train(good).get("step").getInt(0));
    }
  }

  private static void assertSame(Map<String, Tensor> wanted, Map<String, Tensor> found) {
    assertEquals(wanted.keySet(), found.keySet());
    for (String name : wanted.keySet()) {
      assertTrue(name, wanted.get(name).same(found.get(name)));
    }
  }

  @Test
  public void aBatchThatIsFilledAnewIsLearnedAnew() {
    try (Session session = Artifacts.open("finetune-sgd");
        Session other = Artifacts.open("finetune-sgd")) {
      int rows = session.batchSize();
      Batch kept = Artifacts.batch(session, rows, 1);
      Tensor count = Tensor.of(new int[] {rows});
      kept.put("count", count);
      for (int seed = 1; seed < 4; seed++) {
        Batch fresh = Artifacts.batch(session, rows, seed);
        Signature train = session.manifest().signature(Names.TRAIN);
        for (String name : new String[] {"x", "y"}) {
          kept.named(train).get(name).copyFrom(fresh.named(train).get(name));
        }
        count.set(0, rows - seed);
        fresh.put("count", Tensor.of(new int[] {rows - seed}));
        session.train(kept);
        other.train(fresh);
      }
      assertSame(other.state(true), session.state(true));
    }
  }

  @Test
  public void shortBatchesArePaddedAndCounted() {
    try (Session session = Artifacts.open("finetune-sgd");
        Session other = Artifacts.open("finetune-sgd")) {
      Batch few = Artifacts.batch(session, 2, 1);
      session.train(few);
      Signature train = session.manifest().signature(Names.TRAIN);
      Batch padded = new Batch();
      for (TensorSpec one : train.inputs()) {
        Tensor value = one.zeros();
        if (one.role().equals(Names.COUNT)) {
          value.set(0, 2);
        } else {
          value.copyRows(few.named(train).get(one.name()), 0, 0, 2);
        }
        padded.put(one.name(), value);
      }
      other.train(padded);
      assertSame(other.state(true), session.state(true));
    }
  }

  @Test
  public void rowsBehindTheLastAreZeros() {
    try (Session session = Artifacts.open("finetune-sgd")) {
      Signature train = session.manifest().signature(Names.TRAIN);
      Call call =
          new Call(train) {
            @Override
            protected void run() {}
          };
      Rows.one(train, Artifacts.batch(session, session.batchSize(), 1)).fill(call, 0);
      Rows.one(train, Artifacts.batch(session, 2, 1)).fill(call, 0);
      for (TensorSpec one : train.inputs()) {
        Tensor value = call.inputs().get(one.name());
        int row = value.count() / value.rows();
        for (int i = 2 * row; i < value.count(); i++) {
          assertEquals(one.name(), 0, value.get(i), 0);
        }
      }
      assertEquals(2, call.inputs().get("count").getInt(0));
    }
  }

  @Test
  public void labelsThatAreCastAreReadAnew() {
    try (Session session = Artifacts.open("finetune-sgd");
        Session other = Artifacts.open("finetune-sgd")) {
      int rows = session.batchSize();
      Tensor x = Artifacts.batch(session, rows, 1)
          .named(session.manifest().signature(Names.TRAIN)).get("x");
      Tensor small = Tensor.zeros(Dtype.UINT8, rows);
      Batch kept = Batch.of(x, small);
      for (int label = 0; label < 3; label++) {
        Tensor wide = Tensor.zeros(Dtype.INT32, rows);
        for (int i = 0; i < rows; i++) {
          small.set(i, label);
          wide.set(i, label);
        }
        session.train(kept);
        other.train(Batch.of(x, wide));
      }
      assertSame(other.state(true), session.state(true));
    }
  }

  @Test
  public void aStateOutOfItsRangesIsRefused() {
    try (Session session = Artifacts.open("finetune-sgd")) {
      Map<String, Tensor> before = session.state(true);
      Object[][] bad = {{"step", -1.0}, {"head_kernel", Double.NaN}, {"learning_rate", -0.5}};
      for (Object[] one : bad) {
        Map<String, Tensor> state = session.state(true);
        String name = (String) one[0];
        state.get(name).set(0, (Double) one[1]);
        assertThrows(name, ContractException.class, () -> session.loadState(state));
      }
      assertSame(before, session.state(true));
    }
  }

  @Test
  public void aStateIsSavedAndRestoredAndGoesOnTheSame() {
    for (String name : Artifacts.METHODS) {
      File folder = new File(temporary.getRoot(), name);
      try (Session session = Artifacts.open(name);
          Session other = Artifacts.open(name)) {
        Batch batch = Artifacts.batch(session, session.batchSize(), 1);
        session.train(batch);
        session.train(batch);
        assertEquals(-1, other.restore(folder));
        session.save(folder);
        session.train(batch);
        session.save(folder);
        Manifest manifest = session.manifest();
        File kept = new File(folder, Checkpoints.BEFORE);
        assertEquals(2, Checkpoints.load(kept, manifest).step());
        assertEquals(3, Checkpoints.latest(folder, manifest, message -> {}).step());
        assertEquals(2, other.restore(kept));
        assertEquals(2, other.position());
        other.train(batch);
        assertSame(session.state(true), other.state(true));
        session.reset();
        assertEquals(0, session.step());
        assertThrows(BusyException.class, () -> other.save(folder));
        session.close();
        other.save(folder);
      }
    }
  }

  @Test
  public void foreignCheckpointsAreRefusedAndNotWrittenOver() {
    File folder = temporary.getRoot();
    try (Session session = Artifacts.open("finetune-sgd");
        Session other = Artifacts.open("skip-defaults")) {
      session.save(folder);
      session.close();
      Map<String, Tensor> before = other.state(true);
      assertThrows(CheckpointException.class, () -> other.restore(folder));
      assertThrows(ForeignCheckpointException.class, () -> other.save(folder));
      assertSame(before, other.state(true));
    }
  }

  @Test
  public void buffersStayUnlessAskedFor() {
    try (Session session = Artifacts.open("contrastive")) {
      Map<String, Tensor> shown = session.state(false);
      int hidden = 0;
      for (TensorSpec one : session.manifest().state()) {
        boolean raw = one.role().equals(Names.BUFFER);
        hidden += raw ? 1 : 0;
        assertEquals(one.name(), !raw, shown.containsKey(one.name()));
      }
      assertTrue(hidden > 0);
      assertEquals(session.manifest().state().size(), session.state(true).size());
    }
  }

  @Test
  public void enrolledRowsAreRecognized() {
    try (Session session = Artifacts.open("contrastive")) {
      Tensor x = Artifacts.batch(session, 3, 7).named(session.manifest().signature(Names.TRAIN))
          .get("x");
      Batch unknown = Batch.of(x);
      assertArrayEquals(new int[] {-1, -1, -1}, session.classify(unknown).labels());
      assertEquals(3, session.enroll(Batch.of(x, Tensor.of(new int[] {2, 0, 1}))));
      Recognition found = session.classify(unknown);
      assertArrayEquals(new int[] {2, 0, 1}, found.labels());
      // A row is of the same direction as itself, but for float32.
      assertArrayEquals(new float[] {1, 1, 1}, found.similarities(), 1e-5f);
      session.train(Artifacts.batch(session, session.batchSize(), 3));
      assertArrayEquals(new int[] {2, 0, 1}, session.classify(unknown).labels());
      assertArrayEquals(new float[] {1, 1, 1}, session.classify(unknown).similarities(), 1e-5f);
      assertEquals(3, session.enroll(Artifacts.batch(session, Names.ENROLL, 0, 1)));
    }
    try (Session session = Artifacts.open("finetune-sgd")) {
      Batch rows = Artifacts.batch(session, Names.INFER, 1, 1);
      assertThrows(ContractException.class, () -> session.classify(rows));
    }
  }

  @Test
  public void hyperparametersAreSetByName() {
    try (Session session = Artifacts.open("finetune-sgd")) {
      Map<String, Double> before = session.configure(new LinkedHashMap<String, Double>());
      Map<String, Double> wanted = new LinkedHashMap<>();
      wanted.put("learning_rate", 0.25);
      Map<String, Double> found = session.configure(wanted);
      before.put("learning_rate", 0.25);
      assertEquals(before, found);
      Map<String, Double> unknown = Collections.singletonMap("rate", 0.1);
      assertThrows(ContractException.class, () -> session.configure(unknown));
    }
  }

  /** An engine whose calls fail when asked to, after they have run. */
  private static final class Failing implements Engine {
    private final Engine engine = new TfLiteEngine(1);
    private boolean fails;
    private boolean dies;
    private int loaded;

    @Override
    public String name() {
      return "failing";
    }

    @Override
    public Runner load(ByteBuffer model, Manifest manifest) {
      Runner runner = engine.load(model, manifest);
      loaded++;
      return new Runner() {
        @Override
        public Call prepare(Signature signature) {
          Call call = runner.prepare(signature);
          return new Call(signature) {
            @Override
            protected void run() {
              for (String name : inputs().keySet()) {
                call.inputs().get(name).copyFrom(inputs().get(name));
              }
              call.run();
              if (fails) {
                throw new IllegalStateException("out of memory");
              }
              if (dies) {
                throw new OutOfMemoryError("of Java's");
              }
              for (String name : outputs().keySet()) {
                outputs().get(name).copyFrom(call.outputs().get(name));
              }
            }
          };
        }

        @Override
        public void close() {
          runner.close();
        }
      };
    }
  }

  @Test
  public void afterAFailureOnlyResetAndRestoreHelp() {
    Failing engine = new Failing();
    try (Session session = Session.open(Artifacts.folder("finetune-sgd"), engine)) {
      Batch batch = Artifacts.batch(session, session.batchSize(), 1);
      session.save(temporary.getRoot());
      engine.fails = true;
      assertThrows(RunException.class, () -> session.train(batch));
      engine.fails = false;
      for (int i = 0; i < 2; i++) {
        String said = assertThrows(RunException.class, () -> session.train(batch)).getMessage();
        assertTrue(said, said.contains("out of memory") && said.contains("reset"));
      }
      assertThrows(RunException.class, () -> session.state(true));
      assertThrows(RunException.class, () -> session.save(temporary.getRoot()));
      assertEquals(0, session.restore(temporary.getRoot()));
      assertEquals(1, session.train(batch).get("step").getInt(0));
      engine.fails = true;
      assertThrows(RunException.class, () -> session.train(batch));
      engine.fails = false;
      session.reset();
      assertEquals(1, session.train(batch).get("step").getInt(0));
      engine.dies = true;
      assertThrows(OutOfMemoryError.class, () -> session.train(batch));
      engine.dies = false;
      assertThrows(RunException.class, () -> session.train(batch));
      session.reset();
      assertEquals(4, engine.loaded);
    }
  }

  @Test
  public void threadsTakeTurnsAndNoStepIsLost() throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(4);
    try (Session session = Artifacts.open("skip-defaults")) {
      List<Future<?>> done = new ArrayList<>();
      for (int thread = 0; thread < 4; thread++) {
        Batch batch = Artifacts.batch(session, session.batchSize(), thread);
        Batch rows = Artifacts.batch(session, Names.INFER, 3, thread);
        boolean trains = thread < 2;
        done.add(
            threads.submit(
                () -> {
                  for (int i = 0; i < 50; i++) {
                    if (trains) {
                      session.train(batch);
                    } else {
                      session.infer(rows);
                      session.evaluate(batch);
                    }
                  }
                }));
      }
      for (Future<?> one : done) {
        one.get();
      }
      assertEquals(100, session.position());
    } finally {
      threads.shutdownNow();
    }
  }

  @Test
  public void aStepAllocatesWhatTheRuntimesOwnCallDoes() {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long me = Thread.currentThread().getId();
    try (Session session = Artifacts.open("finetune-sgd")) {
      Batch batch = Artifacts.batch(session, session.batchSize(), 1);
      Map<String, Tensor> metrics = session.outputs(Names.TRAIN);
      Artifact artifact = session.artifact();
      Running running = artifact.run(new TfLiteEngine(1));
      Call call = running.call(Names.TRAIN);
      long own = 0;
      long bare = 0;
      int steps = 150;
      for (int i = 0; i < 2 * steps; i++) {
        long start = threads.getThreadAllocatedBytes(me);
        session.train(batch, metrics);
        long middle = threads.getThreadAllocatedBytes(me);
        call.run();
        // The first half warms up.
        own += i < steps ? 0 : middle - start;
        bare += i < steps ? 0 : threads.getThreadAllocatedBytes(me) - middle;
      }
      running.close();
      assertTrue("the runtime's call allocates", bare > 0);
      // No object is smaller than 16 bytes.
      long beside = (own - bare) / steps;
      assertTrue("each step allocates " + beside + " bytes beside the runtime's", beside < 16);
    }
  }

  @Test
  public void aClosedSessionSaysSo() {
    Session session = Artifacts.open("finetune-sgd");
    Batch batch = Artifacts.batch(session, session.batchSize(), 1);
    session.close();
    session.close();
    assertThrows(ContractException.class, () -> session.train(batch));
    assertThrows(ContractException.class, session::reset);
    assertFalse(session.manifest().has("refresh"));
    assertNotEquals(0, session.batchSize());
  }
}
