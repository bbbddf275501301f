package org.tfliteodl.app;

import android.content.Context;
import java.util.ArrayList;
import java.util.List;
import org.tfliteodl.android.MotionSensors;
import org.tfliteodl.android.Phone;
import org.tfliteodl.host.TfLiteEngine;
import org.tfliteodl.run.Background;
import org.tfliteodl.run.Request;
import org.tfliteodl.run.Run;
import org.tfliteodl.run.Status;

/** The run of this process: one at a time, on its background thread; used by the main thread. */
final class Runs {
  /** Is told on the main thread. */
  interface Watcher {
    /** After each batch with its record as JSON, after a change of the state without one. */
    void changed(Run run, String record);
  }

  private static final Runs ONLY = new Runs();

  private final Background background = Phone.background();
  private final List<Watcher> watchers = new ArrayList<>();
  private Run present;
  private MotionSensors sensors;

  private Runs() {}

  static Runs get() {
    return ONLY;
  }

  /** Returns the run at work; null: there is none. */
  Run present() {
    return present;
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
    if (present != null) {
      return false;
    }
    Context app = context.getApplicationContext();
    Run run = made(app, request);
    present = run;
    background.ask(
        () -> {
          run.run();
          return run;
        },
        done -> over(run, ended),
        error -> over(run, ended));
    return true;
  }

  /** Says in a run's status that it waits for the phone to charge or to be idle. */
  void wait(Context context, Request request) {
    Run run = made(context.getApplicationContext(), request);
    background.ask(
        () -> {
          run.waiting("charging " + request.charging() + ", idle " + request.idle());
          return run;
        },
        done -> {},
        error -> {});
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
        (status, record) -> Phone.main().execute(() -> tell(record)));
  }

  /** Ends the run after the batch at work. */
  void pause() {
    if (present != null) {
      present.pause();
      stopSensors();
    }
  }

  private void over(Run run, Runnable ended) {
    stopSensors();
    tell(null);
    present = null;
    ended.run();
  }

  private void stopSensors() {
    if (sensors != null) {
      sensors.close();
      sensors = null;
    }
  }

  private void tell(String record) {
    if (present == null) {
      return;
    }
    for (Watcher one : new ArrayList<>(watchers)) {
      one.changed(present, record);
    }
  }
}
