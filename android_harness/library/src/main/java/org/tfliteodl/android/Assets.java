package org.tfliteodl.android;

import android.content.Context;
import android.content.res.AssetManager;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.util.Arrays;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.contract.Names;

/** Artifacts that an app ships among its assets, as folders in its own storage. */
public final class Assets {
  private static final int PART_BYTES = 1 << 16;

  private Assets() {}

  /**
   * Returns the folder of an artifact that was shipped as an asset; copied there the first time, and
   * anew after an update of the app that brings another one.
   *
   * @param asset its folder among the assets
   * @param to where it shall lie; what else lies there is replaced
   * @throws ArtifactException there is no such asset, or it cannot be copied
   */
  public static File unpacked(Context context, String asset, File to) {
    AssetManager assets = context.getAssets();
    try {
      byte[] shipped = content(assets, asset + "/" + Names.MANIFEST_FILE);
      File manifest = new File(to, Names.MANIFEST_FILE);
      if (manifest.isFile() && Arrays.equals(shipped, Files.readAllBytes(manifest.toPath()))) {
        return to;
      }
      File fresh = new File(to.getPath() + ".fresh");
      remove(fresh);
      copyAll(assets, asset, fresh);
      remove(to);
      if (!fresh.renameTo(to)) {
        throw new IOException("cannot rename " + fresh);
      }
      return to;
    } catch (IOException error) {
      throw new ArtifactException("no artifact in asset " + asset + ": " + error.getMessage(), error);
    }
  }

  /** Copies an asset, whole or not at all. */
  public static void copy(Context context, String asset, File to) throws IOException {
    File fresh = new File(to.getPath() + ".fresh");
    copyAll(context.getAssets(), asset, fresh);
    if (!fresh.renameTo(to)) {
      throw new IOException("cannot rename " + fresh);
    }
  }

  /** Copies a folder of assets, or one asset. */
  private static void copyAll(AssetManager assets, String asset, File to) throws IOException {
    String[] inside = assets.list(asset);
    if (inside == null || inside.length == 0) {
      to.getParentFile().mkdirs();
      Files.write(to.toPath(), content(assets, asset));
      return;
    }
    for (String name : inside) {
      copyAll(assets, asset + "/" + name, new File(to, name));
    }
  }

  private static byte[] content(AssetManager assets, String asset) throws IOException {
    ByteArrayOutputStream found = new ByteArrayOutputStream();
    byte[] part = new byte[PART_BYTES];
    try (InputStream in = assets.open(asset)) {
      for (int read = in.read(part); read >= 0; read = in.read(part)) {
        found.write(part, 0, read);
      }
    }
    return found.toByteArray();
  }

  private static void remove(File file) throws IOException {
    File[] inside = file.listFiles();
    for (File one : inside == null ? new File[0] : inside) {
      remove(one);
    }
    Files.deleteIfExists(file.toPath());
  }
}
