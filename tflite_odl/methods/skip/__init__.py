"""`skip`: back-propagation of confident rows is skipped, and its time saved."""

from tflite_odl.methods.skip.config import SkipConfig
from tflite_odl.methods.skip.method import Skip

__all__ = ["Skip", "SkipConfig"]
