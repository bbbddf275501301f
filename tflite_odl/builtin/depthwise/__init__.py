"""DepthwiseConv2D: its lowerings, the first that supports a node being the default."""

from tflite_odl.builtin.depthwise.constant import Constant
from tflite_odl.builtin.depthwise.convolution import Convolution
from tflite_odl.builtin.depthwise.multiplied import Multiplied
from tflite_odl.builtin.depthwise.products import Products
from tflite_odl.builtin.depthwise.taps import Taps

SINGLE = (Constant(), Products(), Taps(), Convolution())
LOWERINGS = (*SINGLE, *map(Multiplied, SINGLE))
