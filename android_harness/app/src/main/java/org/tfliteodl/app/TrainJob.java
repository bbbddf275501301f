package org.tfliteodl.app;

import android.app.job.JobInfo;
import android.app.job.JobParameters;
import android.app.job.JobScheduler;
import android.app.job.JobService;
import android.content.ComponentName;
import android.content.Context;
import android.os.PersistableBundle;
import org.tfliteodl.run.Request;

/** Trains while the system says that the phone is charging and idle, as was asked. */
public final class TrainJob extends JobService {
  private static final int JOB = 1;

  /** Asks the system; a job that was asked for before is replaced. */
  static void schedule(Context context, Request request) {
    PersistableBundle extras = new PersistableBundle();
    for (String name : request.values().keySet()) {
      extras.putString(name, request.values().get(name));
    }
    JobInfo.Builder asked =
        new JobInfo.Builder(JOB, new ComponentName(context, TrainJob.class))
            .setExtras(extras)
            .setRequiresCharging(request.charging())
            .setRequiresDeviceIdle(request.idle());
    context.getSystemService(JobScheduler.class).schedule(asked.build());
  }

  /** Takes back what was asked. */
  static void cancel(Context context) {
    context.getSystemService(JobScheduler.class).cancel(JOB);
  }

  @Override
  public boolean onStartJob(JobParameters parameters) {
    Request request = Extras.request(parameters.getExtras());
    return Runs.get().start(this, request, () -> jobFinished(parameters, false));
  }

  @Override
  public boolean onStopJob(JobParameters parameters) {
    Runs.get().pause();
    return true; // goes on when the phone is charging and idle again
  }
}
