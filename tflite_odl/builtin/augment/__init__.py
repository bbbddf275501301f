"""Random changes of a batch, in the graph: what an item may look like and stay itself.

A family is a frozen dataclass of two steps: `draw` takes uniform numbers from the
counter-based generator, `apply` changes the batch by them and draws nothing. So a
reference that is given the same numbers must come to the same batch.
"""

from tflite_odl.builtin.augment.images import ImageAugmentation
from tflite_odl.builtin.augment.sensors import SensorAugmentation

__all__ = ["ImageAugmentation", "SensorAugmentation"]
