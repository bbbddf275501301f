"""Runs an artifact through LiteRT on a stream: python tools/emulate.py

The same as `tflite-odl emulate`, from a checkout.
"""

from tflite_odl.commands import emulate

if __name__ == "__main__":
    emulate.run()
