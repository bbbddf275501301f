package com.example.learn;

import android.app.Activity;
import android.os.Bundle;
import android.widget.TextView;
import java.io.File;
import java.util.Arrays;
import org.tfliteodl.android.Phone;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.host.Batch;
import org.tfliteodl.host.Session;
import org.tfliteodl.host.TfLiteEngine;
import org.tfliteodl.run.Background;

/** Learns from four rows each time it is opened, and shows what it has learned. */
public final class LearnActivity extends Activity {
  private final Background background = Phone.background(); // never on the thread that draws

  @Override
  protected void onCreate(Bundle saved) {
    super.onCreate(saved);
    TextView told = new TextView(this);
    setContentView(told);
    background.ask(
        this::learn,
        probabilities -> told.setText(Arrays.toString(probabilities[0])),
        error -> told.setText(error.getMessage()));
  }

  private float[][] learn() {
    File state = new File(getFilesDir(), "state");
    float[][] rows = {{0, 0, 1, 0}, {1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 0, 1}};
    int[] labels = {0, 1, 2, -1}; // -1: not known
    try (Session session = Phone.open(this, "artifact", new TfLiteEngine(2))) {
      session.restore(state); // nothing there the first time
      session.train(Batch.of(Tensor.of(rows), Tensor.of(labels)));
      session.save(state);
      return session.infer(rows);
    }
  }
}
