package androidx.test.runner.lifecycle;

/** Stands in for androidx.test. */
public final class ApplicationLifecycleMonitorRegistry {
  private ApplicationLifecycleMonitorRegistry() {}

  public static void registerInstance(ApplicationLifecycleMonitor monitor) {
    // Nobody asks for it.
  }
}
