package androidx.test.runner.lifecycle;

/** Stands in for androidx.test. */
public final class ActivityLifecycleMonitorRegistry {
  private static ActivityLifecycleMonitor known;

  private ActivityLifecycleMonitorRegistry() {}

  public static void registerInstance(ActivityLifecycleMonitor monitor) {
    known = monitor;
  }

  public static ActivityLifecycleMonitor getInstance() {
    return known;
  }
}
