package org.tfliteodl.app;

import android.Manifest;
import android.app.Activity;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.net.Uri;
import android.os.Build;
import android.os.Bundle;
import android.widget.ArrayAdapter;
import android.widget.CheckBox;
import android.widget.ProgressBar;
import android.widget.Spinner;
import android.widget.TextView;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tfliteodl.OdlException;
import org.tfliteodl.android.Phone;
import org.tfliteodl.run.Background;
import org.tfliteodl.run.Curves;
import org.tfliteodl.run.Request;
import org.tfliteodl.run.Run;

/**
 * The app's only screen. Everything on it can be asked for from a desk:
 *
 * <pre>
 * am start -n org.tfliteodl.app/.MainActivity --es command start --es run first
 *     --es artifact signs --es stream stream.packed --ei steps 300 --ez charging true
 * </pre>
 *
 * where command is start, pause or share, and the others are {@link Request}'s.
 */
public final class MainActivity extends Activity implements Runs.Watcher {
  private static final String STEPS = "300";

  private final Background background = Phone.background();
  private PlotView plot;
  private TextView told;
  private ProgressBar progress;
  private Spinner artifacts;
  private Spinner streams;
  private String shown = "";

  @Override
  protected void onCreate(Bundle saved) {
    super.onCreate(saved);
    setContentView(R.layout.main);
    plot = findViewById(R.id.plot);
    told = findViewById(R.id.told);
    progress = findViewById(R.id.progress);
    artifacts = findViewById(R.id.artifacts);
    streams = findViewById(R.id.streams);
    findViewById(R.id.start).setOnClickListener(view -> startAsked(chosen()));
    findViewById(R.id.pause).setOnClickListener(view -> pause());
    findViewById(R.id.share).setOnClickListener(view -> share());
    background.ask(() -> Shipped.unpack(this), this::list, this::failed);
    askToNotify();
    Runs.get().watch(this);
    if (saved == null) {
      obey(getIntent());
    }
  }

  @Override
  protected void onDestroy() {
    Runs.get().unwatch(this);
    background.close();
    super.onDestroy();
  }

  @Override
  protected void onNewIntent(Intent intent) {
    super.onNewIntent(intent);
    obey(intent);
  }

  /** Does what an intent's extras say, if they say something. */
  private void obey(Intent intent) {
    String command = intent.getStringExtra("command");
    if ("start".equals(command)) {
      startAsked(Extras.values(intent.getExtras()));
    } else if ("pause".equals(command)) {
      pause();
    } else if ("share".equals(command)) {
      shown = intent.getStringExtra("run");
      share();
    } else if (command != null) {
      told.setText(getString(R.string.unknown_command, command));
    }
  }

  private void list(Shipped.Names names) {
    choices(artifacts, names.artifacts);
    List<String> all = new ArrayList<>(names.streams);
    all.add(Request.SENSORS);
    choices(streams, all);
  }

  private void choices(Spinner spinner, List<String> names) {
    spinner.setAdapter(
        new ArrayAdapter<>(this, android.R.layout.simple_spinner_dropdown_item, names));
  }

  private Map<String, String> chosen() {
    Map<String, String> values = new LinkedHashMap<>();
    values.put("artifact", String.valueOf(artifacts.getSelectedItem()));
    values.put("stream", String.valueOf(streams.getSelectedItem()));
    values.put("run", values.get("artifact") + "-" + values.get("stream"));
    values.put("steps", STEPS);
    values.put("charging", String.valueOf(isChecked(R.id.charging)));
    values.put("idle", String.valueOf(isChecked(R.id.idle)));
    return values;
  }

  private boolean isChecked(int box) {
    return ((CheckBox) findViewById(box)).isChecked();
  }

  /** Starts a run at once, or asks the system for one while the phone is charging and idle. */
  private void startAsked(Map<String, String> values) {
    Request request;
    try {
      request = new Request(values);
    } catch (OdlException error) {
      failed(error);
      return;
    }
    shown = request.run();
    progress.setMax(request.steps());
    if (request.charging() || request.idle()) {
      Runs.get().await(this, request);
      TrainJob.schedule(this, request);
      told.setText(R.string.waiting);
      return;
    }
    Intent work = new Intent(this, TrainService.class).putExtras(Extras.bundle(request));
    startForegroundService(work);
  }

  private void pause() {
    TrainJob.cancel(this);
    Runs.get().pause();
  }

  private void share() {
    background.ask(() -> ResultsProvider.uris(this, shown), this::send, this::failed);
  }

  private void send(ArrayList<Uri> uris) {
    Intent send =
        new Intent(Intent.ACTION_SEND_MULTIPLE)
            .setType("application/json")
            .putParcelableArrayListExtra(Intent.EXTRA_STREAM, uris)
            .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION);
    startActivity(Intent.createChooser(send, getString(R.string.share)));
  }

  @Override
  public void changed(Run run, Curves curves) {
    shown = run.request().run();
    progress.setMax(run.request().steps());
    progress.setProgress((int) run.status().batch());
    plot.show(curves);
    told.setText(run.status().told());
  }

  private void failed(Throwable error) {
    told.setText(String.valueOf(error.getMessage()));
  }

  private void askToNotify() {
    boolean needed = Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU;
    String permission = needed ? Manifest.permission.POST_NOTIFICATIONS : "";
    if (needed && checkSelfPermission(permission) != PackageManager.PERMISSION_GRANTED) {
      requestPermissions(new String[] {permission}, 0);
    }
  }
}
