package org.tfliteodl.app;

import android.content.Context;
import java.io.File;
import java.io.IOException;
import java.util.List;
import org.tfliteodl.android.Assets;
import org.tfliteodl.android.Phone;
import org.tfliteodl.run.Folders;

/** What the app comes with, unpacked beside what was pushed. */
final class Shipped {
  private static final String ARTIFACT = "artifact";
  private static final String STREAM = "stream";

  private Shipped() {}

  /** Names of artifacts and streams that can be chosen. */
  static final class Names {
    final List<String> artifacts;
    final List<String> streams;

    Names(Folders folders) {
      artifacts = folders.names("artifacts");
      streams = folders.names("streams");
    }
  }

  /** Unpacks what is there; takes long the first time. */
  static Names unpack(Context context) throws IOException {
    Folders folders = Phone.folders(context);
    if (isThere(context, ARTIFACT)) {
      Assets.unpacked(context, ARTIFACT, folders.artifact(ARTIFACT));
    }
    if (isThere(context, STREAM)) {
      for (String name : context.getAssets().list(STREAM)) {
        File to = folders.stream(name);
        if (!to.exists()) {
          Assets.copy(context, STREAM + "/" + name, to);
        }
      }
    }
    return new Names(folders);
  }

  private static boolean isThere(Context context, String asset) throws IOException {
    String[] inside = context.getAssets().list(asset);
    return inside != null && inside.length > 0;
  }
}
