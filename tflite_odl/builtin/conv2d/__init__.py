"""Conv2D: its lowerings, the first that supports a node being the default choice."""

from tflite_odl.builtin.conv2d.constant import Constant
from tflite_odl.builtin.conv2d.grouped import Grouped
from tflite_odl.builtin.conv2d.paired_columns import PairedColumns
from tflite_odl.builtin.conv2d.patches import Patches
from tflite_odl.builtin.conv2d.pointwise import Pointwise
from tflite_odl.builtin.conv2d.split_width import SplitWidth
from tflite_odl.builtin.conv2d.transposed import Transposed

DENSE = (SplitWidth(), PairedColumns(), Patches(), Pointwise())
LOWERINGS = (Constant(), *DENSE, *map(Grouped, DENSE))
TRANSPOSED = (Transposed(),)
