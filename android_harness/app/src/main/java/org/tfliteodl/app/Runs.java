package org.tfliteodl.app;

import android.content.Context;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicBoolean;
import org.tfliteodl.android.MotionSensors;
import org.tfliteodl.android.Phone;
import org.tfliteodl.host.TfLiteEngine;
import org.tfliteodl.run.Background;
import org.tfliteodl.run.Curves;
import org.tfliteodl.run.Request;
import org.tfliteodl.run.Run;

/**
 * The run of this process: one at a time, on its background thread.
 *
 * <p>It is asked on the main thread, which it never keeps waiting.
 */
final class Runs {
  /** Is told on the main thread. */
  interface Watcher {
    /** After a batch, or after many, and after each change of the state. */
    void changed(Run run, Curves curves);
  }

  private static final Runs ONLY = new Runs();

  private final Background background = Phone.background();
  private final Executor main = Phone.main();
  private final List<Watcher> watchers = new ArrayList<>();
  private final Curves curves = new Curves();
  // Whether the main thread has been asked to look: steps may be faster than it draws.
  private final AtomicBoolean asked = new AtomicBoolean();
  private boolean busy;
  // Written by the background thread, or read by it.
  private volatile Run present;
  private volatile boolean pausing;
  private volatile MotionSensors sensors;

  private Runs() {}

  static Runs get() {
    return ONLY;
  }

  boolean isBusy() {
    return busy;
  }

  void watch(Watcher watcher) {
    watchers.add(watcher);
  }

  void unwatch(Watcher watcher) {
    watchers.remove(watcher);
  }

  /**
   * Begins a run, or goes on with it.
   *
   * @param ended told when it is over, paused or failed
   * @return false: another one is at work
   */
  boolean start(Context context, Request request, Runnable ended) {
    if (busy) {
      return false;
    }
    busy = true;
    pausing = false;
    curves.clear();
    Context app = context.getApplicationContext();
    background.ask(
        () -> {
          Run run = made(app, request);
          present = run;
          if (pausing) {
            run.pause();
          }
          run.run();
          return run;
        },
        done -> over(ended),
        error -> over(ended));
    return true;
  }

  /** Says in a run's status that it waits for the phone to charge or to be idle. */
  void await(Context context, Request request) {
    Context app = context.getApplicationContext();
    background.ask(
        () -> {
          Run run = made(app, request);
          run.waiting("charging " + request.charging() + ", idle " + request.idle());
          return run;
        },
        done -> {},
        error -> {});
  }

  /** Ends the run after the batch at work. */
  void pause() {
    pausing = true;
    Run run = present;
    if (run != null) {
      run.pause();
      stopSensors();
    }
  }

  private Run made(Context app, Request request) {
    return new Run(
        Phone.folders(app),
        request,
        new TfLiteEngine(request.threads()),
        train -> {
          sensors = new MotionSensors(app, train, request.label());
          return sensors.windows();
        },
        (status, record) -> note(record));
  }

  /** Takes what the background thread has to tell. */
  private void note(String record) {
    if (record != null) {
      curves.add(record);
    }
    if (asked.compareAndSet(false, true)) {
      main.execute(this::tell);
    }
  }

  private void over(Runnable ended) {
    stopSensors();
    tell();
    present = null;
    busy = false;
    ended.run();
  }

  private void stopSensors() {
    MotionSensors listening = sensors;
    if (listening != null) {
      listening.close();
      sensors = null;
    }
  }

  private void tell() {
    asked.set(false);
    Run run = present;
    if (run == null) {
      return;
    }
    for (Watcher one : new ArrayList<>(watchers)) {
      one.changed(run, curves);
    }
  }
}
