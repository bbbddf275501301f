"""Takes a student out of its artifact, to be delivered: python tools/deliver.py

The same as `tflite-odl deliver`, from a checkout.
"""

from tflite_odl.commands import deliver

if __name__ == "__main__":
    deliver.run()
