package org.tfliteodl.app;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.app.Application;
import android.app.job.JobInfo;
import android.app.job.JobScheduler;
import android.content.Context;
import android.content.Intent;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.hardware.Sensor;
import android.hardware.SensorManager;
import android.net.Uri;
import android.os.Looper;
import android.view.View;
import android.widget.ProgressBar;
import android.widget.TextView;
import java.io.File;
import java.io.FileNotFoundException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.android.controller.ServiceController;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;
import org.robolectric.shadows.ShadowSensor;
import org.tfliteodl.contract.Json;

/**
 * The app on a desktop's JVM: Robolectric's Android, TFLite's true Java and native library.
 *
 * <p>The property "files" names a folder of artifacts/mlp and streams/rows.
 */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public class AppTest {
  private static final long PATIENCE_MS = 60000;

  private Application app;
  private File files;

  @Before
  public void giveFiles() throws IOException {
    app = RuntimeEnvironment.getApplication();
    files = app.getFilesDir();
    Path from = new File(System.getProperty("files")).toPath();
    try (Stream<Path> all = Files.walk(from)) {
      for (Path one : all.collect(Collectors.toList())) {
        Path to = files.toPath().resolve(from.relativize(one).toString());
        if (Files.isDirectory(one)) {
          Files.createDirectories(to);
        } else {
          Files.copy(one, to);
        }
      }
    }
  }

  private Intent asked(String run) {
    return new Intent(app, MainActivity.class)
        .putExtra("command", "start")
        .putExtra("run", run)
        .putExtra("artifact", "mlp")
        .putExtra("stream", "rows")
        .putExtra("steps", 8); // a number, as --ei gives it
  }

  private Json status(String run) throws IOException {
    File file = new File(files, "runs/" + run + "/status.json");
    return file.exists() ? Json.parse(Files.readAllBytes(file.toPath())) : null;
  }

  /** Lets the main thread do what it was asked until a run is in a state. */
  private Json await(String run, String state) throws Exception {
    for (long waited = 0; waited < PATIENCE_MS; waited += 20) {
      shadowOf(Looper.getMainLooper()).idle();
      Json found = status(run);
      if (found != null && found.get("state").text().equals(state) && !Runs.get().isBusy()) {
        return found;
      }
      if (found != null && found.get("state").text().equals("failed") && !state.equals("failed")) {
        throw new AssertionError(found.get("error").text());
      }
      Thread.sleep(20);
    }
    throw new AssertionError(run + " never came to be " + state + ": " + status(run));
  }

  private ServiceController<TrainService> serve() {
    Intent work = shadowOf(app).getNextStartedService();
    assertEquals(TrainService.class.getName(), work.getComponent().getClassName());
    return Robolectric.buildService(TrainService.class, work).create().startCommand(0, 1);
  }

  @Test
  public void anIntentStartsARunThatIsShown() throws Exception {
    ActivityController<MainActivity> screen =
        Robolectric.buildActivity(MainActivity.class, asked("first")).setup();
    ServiceController<TrainService> service = serve();
    assertTrue(shadowOf(service.get()).getLastForegroundNotification() != null);
    Json status = await("first", "done");
    assertEquals(8, status.get("batch").integer());
    assertEquals(
        status.get("goldens").get("all").integer(), status.get("goldens").get("passed").integer());
    assertTrue(shadowOf(service.get()).isStoppedBySelf());
    ProgressBar progress = screen.get().findViewById(R.id.progress);
    assertEquals(8, progress.getProgress());
    TextView told = screen.get().findViewById(R.id.told);
    assertTrue(told.getText().toString(), told.getText().toString().startsWith("done, batch 8"));
    assertTrue("curves are drawn", colours(screen.get().findViewById(R.id.plot)) > 2);
    photograph(screen.get().getWindow().getDecorView());
    screen.pause().stop().destroy();
  }

  private static int colours(View view) {
    Bitmap drawn = Bitmap.createBitmap(600, 200, Bitmap.Config.ARGB_8888);
    view.layout(0, 0, 600, 200);
    view.draw(new Canvas(drawn));
    java.util.Set<Integer> found = new java.util.HashSet<>();
    for (int x = 0; x < 600; x++) {
      for (int y = 0; y < 200; y++) {
        found.add(drawn.getPixel(x, y));
      }
    }
    return found.size();
  }

  /** Leaves a picture of the screen where the property "picture" says, if it does. */
  private static void photograph(View view) throws IOException {
    String to = System.getProperty("picture", "");
    if (to.isEmpty()) {
      return;
    }
    Bitmap drawn = Bitmap.createBitmap(480, 800, Bitmap.Config.ARGB_8888);
    view.measure(
        View.MeasureSpec.makeMeasureSpec(480, View.MeasureSpec.EXACTLY),
        View.MeasureSpec.makeMeasureSpec(800, View.MeasureSpec.EXACTLY));
    view.layout(0, 0, 480, 800);
    view.draw(new Canvas(drawn));
    try (FileOutputStream out = new FileOutputStream(to)) {
      drawn.compress(Bitmap.CompressFormat.PNG, 100, out);
    }
  }

  @Test
  public void aRunIsPausedAndGoesOn() throws Exception {
    Intent long_ = asked("paused").putExtra("steps", 100000);
    ActivityController<MainActivity> screen =
        Robolectric.buildActivity(MainActivity.class, long_).setup();
    serve();
    for (int i = 0; i < 3000 && batch("paused") < 3; i++) {
      shadowOf(Looper.getMainLooper()).idle();
      Thread.sleep(20);
    }
    screen.newIntent(new Intent().putExtra("command", "pause"));
    int at = await("paused", "paused").get("batch").integer();
    assertTrue("at batch " + at, at >= 3);
    screen.newIntent(asked("paused").putExtra("steps", at + 5));
    serve();
    assertEquals(at + 5, await("paused", "done").get("batch").integer());
    screen.pause().stop().destroy();
  }

  private int batch(String run) throws IOException {
    Json found = status(run);
    return found == null ? 0 : found.get("batch").integer();
  }

  @Test
  public void chargingAndIdleAreLeftToTheSystem() throws Exception {
    Intent careful = asked("careful").putExtra("charging", true).putExtra("idle", true);
    Robolectric.buildActivity(MainActivity.class, careful).setup();
    assertNull("no service", shadowOf(app).getNextStartedService());
    await("careful", "waiting");
    JobScheduler scheduler = app.getSystemService(JobScheduler.class);
    JobInfo job = scheduler.getAllPendingJobs().get(0);
    assertTrue(job.isRequireCharging() && job.isRequireDeviceIdle());
    assertEquals("careful", Extras.request(job.getExtras()).run());
    assertEquals(8, Extras.request(job.getExtras()).steps());
  }

  @Test
  public void whatIsWrongIsShown() throws Exception {
    for (String[] wrong : new String[][] {{"run", "../other"}, {"steps", "many"}}) {
      Intent intent = asked("wrong").putExtra(wrong[0], wrong[1]);
      MainActivity screen = Robolectric.buildActivity(MainActivity.class, intent).setup().get();
      assertNull(shadowOf(app).getNextStartedService());
      TextView told = screen.findViewById(R.id.told);
      assertTrue(told.getText().toString(), told.getText().toString().contains(wrong[1]));
    }
  }

  @Test
  public void aMissingArtifactIsTheRunsLastWord() throws Exception {
    Robolectric.buildActivity(MainActivity.class, asked("none").putExtra("artifact", "no")).setup();
    serve();
    assertTrue(await("none", "failed").get("error").text().contains("no artifact at"));
  }

  @Test
  public void onlyResultsAreShared() throws Exception {
    Robolectric.buildActivity(MainActivity.class, asked("shared")).setup();
    serve();
    await("shared", "done");
    List<String> left = new ArrayList<>();
    for (File one : new File(files, "runs/shared").listFiles()) {
      left.add(one.getName());
    }
    assertTrue(left.toString(), left.size() > 4);
    int read = 0;
    for (String name : left) {
      Uri uri = Uri.parse("content://" + ResultsProvider.AUTHORITY + "/shared/" + name);
      if (org.tfliteodl.run.Folders.isShareable(name)) {
        assertTrue(app.getContentResolver().openInputStream(uri).read() >= 0);
        read++;
      } else {
        assertThrows(
            name,
            FileNotFoundException.class,
            () -> app.getContentResolver().openInputStream(uri));
      }
    }
    assertEquals(3, read);
    Uri other = Uri.parse("content://" + ResultsProvider.AUTHORITY + "/..%2Fruns/status.json");
    assertThrows(
        FileNotFoundException.class, () -> app.getContentResolver().openInputStream(other));
  }

  @Test
  public void sensorsThatDoNotFitAreRefused() throws Exception {
    SensorManager manager = (SensorManager) app.getSystemService(Context.SENSOR_SERVICE);
    for (int type : new int[] {Sensor.TYPE_ACCELEROMETER, Sensor.TYPE_GYROSCOPE}) {
      shadowOf(manager).addSensor(ShadowSensor.newInstance(type));
    }
    Intent live = asked("live").putExtra("stream", "sensors");
    Robolectric.buildActivity(MainActivity.class, live).setup();
    serve();
    assertTrue(await("live", "failed").get("error").text().contains("[B, T, 6] float32"));
    assertFalse("nobody listens on", shadowOf(manager).hasListener(null));
  }
}
