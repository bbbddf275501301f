package org.tfliteodl.run;

import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * One thread beside the one that draws: work is done there, one piece after another, and what came
 * of it is told on the thread that draws.
 *
 * <p>None of its methods waits, so a thread that draws may call all of them.
 */
public final class Background implements AutoCloseable {
  /** What is to be done; it may take long. */
  public interface Work<T> {
    T run() throws Exception;
  }

  /** Is told how work ended. */
  public interface Done<T> {
    void tell(T result);
  }

  private final ExecutorService thread;
  private final Executor replies;

  /**
   * @param replies runs what is told, on the thread that draws
   * @param begin called once on the new thread, such as to lower its priority
   */
  public Background(Executor replies, Runnable begin) {
    this.replies = replies;
    thread =
        Executors.newSingleThreadExecutor(
            work -> {
              Thread made =
                  new Thread(
                      () -> {
                        begin.run();
                        work.run();
                      },
                      "tflite-odl");
              made.setDaemon(true);
              return made;
            });
  }

  /**
   * Does work after all that was asked for before.
   *
   * @param work on the background thread
   * @param done told the result
   * @param failed told the error, of memory too, if there was one
   */
  public <T> void ask(Work<T> work, Done<? super T> done, Done<? super Throwable> failed) {
    thread.execute(
        () -> {
          T result;
          try {
            result = work.run();
          } catch (Exception | OutOfMemoryError error) {
            replies.execute(() -> failed.tell(error));
            return;
          }
          replies.execute(() -> done.tell(result));
        });
  }

  /** Takes no more work; what was asked for is still done. */
  @Override
  public void close() {
    thread.shutdown();
  }
}
