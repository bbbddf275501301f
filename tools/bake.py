"""Writes what training learned into the serving twin: python tools/bake.py

The same as `tflite-odl bake`, from a checkout.
"""

from tflite_odl.commands import bake

if __name__ == "__main__":
    bake.run()
