package org.tfliteodl.contract;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** The words of the contract: signatures, files, roles. */
public final class Names {
  /** The contract that this library writes and reads; it reads no later one. */
  public static final int VERSION = 2;

  public static final String TRAIN = "train";
  public static final String INFER = "infer";
  public static final String EVALUATE = "evaluate";
  public static final String CONFIGURE = "configure";
  public static final String SAVE = "save";
  public static final String RESTORE = "restore";
  public static final String ENROLL = "enroll";
  public static final String CLASSIFY = "classify";
  public static final String REFRESH = "refresh";

  public static final String MODEL_FILE = "model.tflite";
  public static final String MANIFEST_FILE = "manifest.json";
  public static final String SERVING_FILE = "serve.tflite";
  public static final String REJECTED_FILE = "REJECTED.txt";
  public static final String SIGNATURE_FILE = "manifest.sig";
  public static final String GOLDENS_FOLDER = "goldens";
  public static final String METADATA_NAME = "tflite_odl.manifest";

  /** Roles of inputs. */
  public static final String FEATURE = "feature";
  public static final String LABEL = "label";
  public static final String COUNT = "count";
  public static final String ROW_WEIGHT = "row_weight";
  /** Roles of tensors of the state: what is trained, and the user's raw data. */
  public static final String WEIGHT = "weight";

  public static final String BUFFER = "buffer";
  /** How an output adds up over calls. */
  public static final String SUM = "sum";
  public static final String MEAN = "mean";

  static final List<String> ROLES =
      list(
          WEIGHT, "slot", BUFFER, "counter", "random", "hyperparameter", //
          FEATURE, LABEL, COUNT, ROW_WEIGHT);
  static final List<String> TOTALS = list(SUM, MEAN);

  private Names() {}

  /** Whether a tensor or a signature may be called so: a letter, then letters, digits, '_'. */
  static boolean isName(String name) {
    for (int i = 0; i < name.length(); i++) {
      char c = name.charAt(i);
      boolean letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      boolean later = (c >= '0' && c <= '9') || c == '_';
      if (!letter && (i == 0 || !later)) {
        return false;
      }
    }
    return !name.isEmpty();
  }

  private static List<String> list(String... names) {
    return Collections.unmodifiableList(Arrays.asList(names));
  }
}
