package androidx.test.runner.intent;

/** Stands in for androidx.test. */
public final class IntentStubberRegistry {
  private IntentStubberRegistry() {}

  public static boolean isLoaded() {
    return false;
  }

  public static IntentStubber getInstance() {
    throw new IllegalStateException("no stubber is loaded");
  }
}
