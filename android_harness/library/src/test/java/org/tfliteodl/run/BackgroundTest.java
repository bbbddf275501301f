package org.tfliteodl.run;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotSame;
import static org.junit.Assert.assertSame;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.After;
import org.junit.Test;

/** The thread that draws never waits for what is done in the background. */
public class BackgroundTest {
  private final ExecutorService drawing = Executors.newSingleThreadExecutor();
  private final Background background = new Background(drawing, () -> {});

  @After
  public void close() {
    background.close();
    drawing.shutdown();
  }

  /** The work can end only after the call that asked for it has returned. */
  @Test(timeout = 20000)
  public void askingDoesNotWait() throws Exception {
    CountDownLatch asked = new CountDownLatch(1);
    CountDownLatch told = new CountDownLatch(1);
    Thread[] threads = new Thread[3];
    Future<?> call =
        drawing.submit(
            () -> {
              threads[0] = Thread.currentThread();
              background.ask(
                  () -> {
                    asked.await();
                    threads[1] = Thread.currentThread();
                    return 1;
                  },
                  result -> {
                    threads[2] = Thread.currentThread();
                    told.countDown();
                  },
                  error -> {});
            });
    call.get();
    asked.countDown();
    told.await();
    assertNotSame(threads[0], threads[1]);
    assertSame("results are told where it is drawn", threads[0], threads[2]);
  }

  @Test(timeout = 20000)
  public void workIsDoneInOrderAndErrorsAreTold() throws Exception {
    List<String> told = new ArrayList<>();
    CountDownLatch last = new CountDownLatch(3);
    for (int i = 0; i < 3; i++) {
      int number = i;
      background.ask(
          () -> {
            if (number == 1) {
              throw new OutOfMemoryError("no room");
            }
            return "work " + number;
          },
          result -> {
            told.add(result);
            last.countDown();
          },
          error -> {
            told.add(error.getMessage());
            last.countDown();
          });
    }
    last.await();
    assertEquals(java.util.Arrays.asList("work 0", "no room", "work 2"), told);
  }
}
