"""The methods, by name."""

from tflite_odl.methods.finetune import Finetune

METHODS = {"finetune": Finetune}
