"""Sets the emulated processor up: `python -m tflite_odl.desk.arm`."""

import sys

from tflite_odl.desk.arm import environment
from tflite_odl.errors import DeviceError

try:
    print(environment.ready(say=print).home)
except DeviceError as error:
    sys.exit(f"DeviceError: {error}")
