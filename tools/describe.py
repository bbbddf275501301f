"""Shows what an artifact is: python tools/describe.py

The same as `tflite-odl describe`, from a checkout.
"""

from tflite_odl.commands import describe

if __name__ == "__main__":
    describe.run()
