"""Pooling over windows and over whole images."""

from tflite_odl.builtin.pooling.average import AveragePool
from tflite_odl.builtin.pooling.global_maximum import GlobalMaxPool
from tflite_odl.builtin.pooling.maximum import MaxPool

AVERAGE = (AveragePool(),)
MAXIMUM = (MaxPool(),)
GLOBAL_MAXIMUM = (GlobalMaxPool(),)
