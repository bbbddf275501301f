package org.tfliteodl.android;

import android.content.Context;
import android.os.Handler;
import android.os.Looper;
import android.os.Process;
import java.io.File;
import java.util.concurrent.Executor;
import org.tfliteodl.host.Engine;
import org.tfliteodl.host.Session;
import org.tfliteodl.run.Background;
import org.tfliteodl.run.Folders;

/** What an app needs of Android to use an artifact: storage, threads. */
public final class Phone {
  private Phone() {}

  /**
   * Opens an artifact that the app ships among its assets.
   *
   * <p>Reads files and loads the model: not on the thread that draws, see {@link #background}.
   *
   * @param asset its folder among the assets
   * @throws org.tfliteodl.OdlException it cannot be used; nothing was loaded
   */
  public static Session open(Context context, String asset, Engine engine) {
    File to = folders(context).artifact(asset.replace('/', '_'));
    return Session.open(Assets.unpacked(context, asset, to), engine);
  }

  /** Returns where artifacts, streams and runs lie: in storage that is the app's own. */
  public static Folders folders(Context context) {
    return new Folders(context.getFilesDir());
  }

  /** Returns what runs tasks on the thread that draws. */
  public static Executor main() {
    Handler handler = new Handler(Looper.getMainLooper());
    return handler::post;
  }

  /** Returns a thread of low priority, whose results are told on the thread that draws. */
  public static Background background() {
    return new Background(
        main(), () -> Process.setThreadPriority(Process.THREAD_PRIORITY_BACKGROUND));
  }
}
