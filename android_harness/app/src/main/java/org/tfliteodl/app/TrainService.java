package org.tfliteodl.app;

import android.app.Notification;
import android.app.NotificationChannel;
import android.app.NotificationManager;
import android.app.PendingIntent;
import android.app.Service;
import android.content.Intent;
import android.content.pm.ServiceInfo;
import android.os.Build;
import android.os.IBinder;
import org.tfliteodl.run.Request;

/** Trains while the user sees that it does: a notification stays as long as the run. */
public final class TrainService extends Service {
  static final String PAUSE = "org.tfliteodl.app.PAUSE";
  private static final String CHANNEL = "training";
  private static final int NOTIFICATION = 1;

  @Override
  public IBinder onBind(Intent intent) {
    return null;
  }

  @Override
  public int onStartCommand(Intent intent, int flags, int id) {
    show();
    Runs runs = Runs.get();
    if (PAUSE.equals(intent.getAction())) {
      runs.pause();
      if (!runs.isBusy()) {
        stopSelf();
      }
    } else if (!runs.start(this, Extras.request(intent.getExtras()), this::stopSelf)) {
      stopSelf(id);
    }
    return START_REDELIVER_INTENT;
  }

  private void show() {
    NotificationManager manager = getSystemService(NotificationManager.class);
    manager.createNotificationChannel(
        new NotificationChannel(
            CHANNEL, getString(R.string.training), NotificationManager.IMPORTANCE_LOW));
    int sealed = PendingIntent.FLAG_IMMUTABLE;
    Intent screen = new Intent(this, MainActivity.class);
    Intent pause = new Intent(this, TrainService.class).setAction(PAUSE);
    Notification shown =
        new Notification.Builder(this, CHANNEL)
            .setSmallIcon(R.drawable.training)
            .setContentTitle(getString(R.string.training))
            .setContentIntent(PendingIntent.getActivity(this, 0, screen, sealed))
            .addAction(
                new Notification.Action.Builder(
                        null,
                        getString(R.string.pause),
                        PendingIntent.getService(this, 0, pause, sealed))
                    .build())
            .setOngoing(true)
            .build();
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) {
      startForeground(NOTIFICATION, shown, ServiceInfo.FOREGROUND_SERVICE_TYPE_DATA_SYNC);
    } else {
      startForeground(NOTIFICATION, shown);
    }
  }
}
