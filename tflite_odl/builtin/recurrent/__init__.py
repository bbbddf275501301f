"""Recurrent layers, unrolled."""

from tflite_odl.builtin.recurrent import gru, lstm, simple

FAMILIES = {**lstm.FAMILIES, **gru.FAMILIES, **simple.FAMILIES}
