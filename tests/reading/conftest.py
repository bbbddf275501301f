"""Legacy Keras must be chosen before TensorFlow is imported."""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"
