"""The words of the contract: signatures, files, dtypes, roles."""

VERSION = 2

TRAIN, INFER, EVALUATE = "train", "infer", "evaluate"
CONFIGURE, SAVE, RESTORE = "configure", "save", "restore"
# What methods may have beside them.
ENROLL, CLASSIFY, REFRESH = "enroll", "classify", "refresh"
SIGNATURES = (TRAIN, INFER, EVALUATE, CONFIGURE, SAVE, RESTORE)

MODEL_FILE, MANIFEST_FILE, GOLDENS_FOLDER = "model.tflite", "manifest.json", "goldens"
SERVING_FILE, REJECTED_FILE = "serve.tflite", "REJECTED.txt"
METADATA_NAME = "tflite_odl.manifest"
SIGNATURE_NAME, SIGNATURE_FILE = "tflite_odl.signature", "manifest.sig"

DTYPES = ("float32", "int32", "uint8", "int8", "bool")
# Of tensors of the state, and of inputs of signatures.
ROLES = ("weight", "slot", "buffer", "counter", "random", "hyperparameter")
FEATURE, LABEL, COUNT, ROW_WEIGHT = "feature", "label", "count", "row_weight"
INPUT_ROLES = (FEATURE, LABEL, COUNT, ROW_WEIGHT)
# How an output of one call adds up over calls: to a sum, or to a mean by `count`.
SUM, MEAN = "sum", "mean"
TOTALS = (SUM, MEAN)
UNLABELLED = -1
