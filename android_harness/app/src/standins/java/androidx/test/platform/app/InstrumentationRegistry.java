package androidx.test.platform.app;

import android.app.Instrumentation;
import android.os.Bundle;

/** Stands in for androidx.test, which is on Google's Maven repository alone. */
public final class InstrumentationRegistry {
  private static Instrumentation known;

  private InstrumentationRegistry() {}

  public static void registerInstance(Instrumentation instrumentation, Bundle arguments) {
    known = instrumentation;
  }

  public static Instrumentation getInstrumentation() {
    return known;
  }
}
