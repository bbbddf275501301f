"""Builds an artifact: python tools/convert.py

The same as `tflite-odl convert`, from a checkout.
"""

from tflite_odl.commands import convert

if __name__ == "__main__":
    convert.run()
