package org.tfliteodl.app;

import android.app.Activity;
import android.os.Bundle;

/** The app's only screen. */
public final class MainActivity extends Activity {
  @Override
  protected void onCreate(Bundle state) {
    super.onCreate(state);
    setTitle(R.string.app_name);
  }
}
