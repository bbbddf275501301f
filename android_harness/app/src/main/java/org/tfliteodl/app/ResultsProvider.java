package org.tfliteodl.app;

import android.content.ContentProvider;
import android.content.ContentValues;
import android.content.Context;
import android.database.Cursor;
import android.database.MatrixCursor;
import android.net.Uri;
import android.os.ParcelFileDescriptor;
import android.provider.OpenableColumns;
import java.io.File;
import java.io.FileNotFoundException;
import java.util.ArrayList;
import java.util.List;
import org.tfliteodl.android.Phone;
import org.tfliteodl.run.Folders;

/**
 * Lets apps that the user chose read a run's records, facts and status, and nothing else: no
 * checkpoint, whose buffers and enrolled rows are the user's data.
 */
public final class ResultsProvider extends ContentProvider {
  static final String AUTHORITY = "org.tfliteodl.app.results";

  /** Returns the addresses of what may be shared of a run. */
  static ArrayList<Uri> uris(Context context, String run) {
    ArrayList<Uri> found = new ArrayList<>();
    for (File file : Phone.folders(context).shareable(run)) {
      Uri.Builder address = new Uri.Builder().scheme("content").authority(AUTHORITY);
      found.add(address.appendPath(run).appendPath(file.getName()).build());
    }
    return found;
  }

  private File file(Uri uri) throws FileNotFoundException {
    List<String> parts = uri.getPathSegments();
    if (parts.size() == 2 && Folders.isShareable(parts.get(1))) {
      for (File one : Phone.folders(getContext()).shareable(parts.get(0))) {
        if (one.getName().equals(parts.get(1)) && !parts.get(0).contains("/")) {
          return one;
        }
      }
    }
    throw new FileNotFoundException("nothing is shared as " + uri);
  }

  @Override
  public ParcelFileDescriptor openFile(Uri uri, String mode) throws FileNotFoundException {
    return ParcelFileDescriptor.open(file(uri), ParcelFileDescriptor.MODE_READ_ONLY);
  }

  @Override
  public Cursor query(Uri uri, String[] columns, String where, String[] values, String order) {
    MatrixCursor found =
        new MatrixCursor(new String[] {OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE});
    try {
      File file = file(uri);
      found.addRow(new Object[] {file.getName(), file.length()});
    } catch (FileNotFoundException error) {
      return found; // no row: nothing is shared under that name
    }
    return found;
  }

  @Override
  public boolean onCreate() {
    return true;
  }

  @Override
  public String getType(Uri uri) {
    return "application/json";
  }

  @Override
  public Uri insert(Uri uri, ContentValues values) {
    throw new UnsupportedOperationException("results are read only");
  }

  @Override
  public int update(Uri uri, ContentValues values, String where, String[] arguments) {
    throw new UnsupportedOperationException("results are read only");
  }

  @Override
  public int delete(Uri uri, String where, String[] arguments) {
    throw new UnsupportedOperationException("results are read only");
  }
}
