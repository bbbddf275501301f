"""The methods, by name."""

from tflite_odl.methods.finetune import Finetune
from tflite_odl.methods.skip import Skip

METHODS = {"finetune": Finetune, "skip": Skip}
