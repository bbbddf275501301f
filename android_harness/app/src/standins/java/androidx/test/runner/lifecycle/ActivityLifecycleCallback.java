package androidx.test.runner.lifecycle;

import android.app.Activity;

/** Stands in for androidx.test. */
public interface ActivityLifecycleCallback {
  void onActivityLifecycleChanged(Activity activity, Stage stage);
}
