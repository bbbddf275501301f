"""Runs an artifact on a phone and compares it with this desk: python tools/deploy.py

The same as `tflite-odl deploy`, from a checkout.
"""

from tflite_odl.commands import deploy

if __name__ == "__main__":
    deploy.run()
