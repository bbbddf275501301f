"""Drives artifacts on a desk or an edge box: NumPy and LiteRT, no TensorFlow."""
