"""The signature contract: what export, host and phone share.

Names of signatures, the roles of tensors, the manifest that describes an artifact, and
the digest of states and streams. NumPy and the standard library only: this runs
wherever an artifact runs.
"""

from tflite_odl.contract.manifest import Manifest
from tflite_odl.contract.names import (
    CONFIGURE,
    DTYPES,
    EVALUATE,
    GOLDENS_FOLDER,
    INFER,
    INPUT_ROLES,
    MANIFEST_FILE,
    METADATA_NAME,
    MODEL_FILE,
    REJECTED_FILE,
    RESTORE,
    ROLES,
    SAVE,
    SERVING_FILE,
    SIGNATURE_FILE,
    SIGNATURE_NAME,
    SIGNATURES,
    TOTALS,
    TRAIN,
    UNLABELLED,
    VERSION,
)
from tflite_odl.contract.specs import Signature, TensorSpec, check_unique

__all__ = [
    "CONFIGURE",
    "DTYPES",
    "EVALUATE",
    "GOLDENS_FOLDER",
    "INFER",
    "INPUT_ROLES",
    "MANIFEST_FILE",
    "METADATA_NAME",
    "MODEL_FILE",
    "REJECTED_FILE",
    "RESTORE",
    "ROLES",
    "SAVE",
    "SERVING_FILE",
    "SIGNATURES",
    "SIGNATURE_FILE",
    "SIGNATURE_NAME",
    "TOTALS",
    "TRAIN",
    "UNLABELLED",
    "VERSION",
    "Manifest",
    "Signature",
    "TensorSpec",
    "check_unique",
]
