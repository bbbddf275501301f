package org.tfliteodl.android;

import android.content.Context;
import android.hardware.Sensor;
import android.hardware.SensorEvent;
import android.hardware.SensorEventListener;
import android.hardware.SensorManager;
import android.os.Handler;
import android.os.HandlerThread;
import org.tfliteodl.DataException;
import org.tfliteodl.contract.Signature;
import org.tfliteodl.run.Windows;

/** Accelerometer and gyroscope as a stream of windows, on a thread of its own. */
public final class MotionSensors implements SensorEventListener, AutoCloseable {
  /** Samples a second: that of the recordings of phones' activity. */
  public static final double HZ = 50;

  private static final double NANOS = 1e9;
  private static final int QUEUED_BATCHES = 4;

  private final SensorManager manager;
  private final HandlerThread thread = new HandlerThread("tflite-odl-sensors");
  private final Windows windows;

  /**
   * Begins to listen.
   *
   * @param train the signature that is fed, [B, T, 6] float32; windows overlap by three quarters
   * @param label of all rows; -1: unlabelled
   * @throws DataException the phone lacks one of the sensors
   */
  public MotionSensors(Context context, Signature train, int label) {
    manager = (SensorManager) context.getSystemService(Context.SENSOR_SERVICE);
    int batch = train.inputs().get(0).size(0);
    int hop = Math.max(1, train.inputs().get(0).size(1) / 4);
    windows = new Windows(train, HZ, hop, QUEUED_BATCHES * batch, label);
    thread.start();
    Handler handler = new Handler(thread.getLooper());
    for (int type : new int[] {Sensor.TYPE_ACCELEROMETER, Sensor.TYPE_GYROSCOPE}) {
      Sensor sensor = manager.getDefaultSensor(type);
      int micros = (int) (1e6 / HZ);
      if (sensor == null || !manager.registerListener(this, sensor, micros, handler)) {
        close();
        throw new DataException("the phone has no accelerometer or no gyroscope");
      }
    }
  }

  /** Returns the windows, which wait for what the sensors measure. */
  public Windows windows() {
    return windows;
  }

  @Override
  public void onSensorChanged(SensorEvent event) {
    boolean turning = event.sensor.getType() == Sensor.TYPE_GYROSCOPE;
    Windows.Sensor which = turning ? Windows.Sensor.GYROSCOPE : Windows.Sensor.ACCELEROMETER;
    windows.add(which, event.timestamp / NANOS, event.values);
  }

  @Override
  public void onAccuracyChanged(Sensor sensor, int accuracy) {
    // What is measured is taken as it is.
  }

  /** Stops listening; who waits for a window is given none. */
  @Override
  public void close() {
    manager.unregisterListener(this);
    thread.quitSafely();
    windows.close();
  }
}
