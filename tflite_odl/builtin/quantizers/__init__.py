"""Straight-through quantizers of weights and of activations."""

# Bounds of weights: trained ones, 2.5 standard deviations, 1, the largest |W|, or none.
CLIPPINGS = ("trained", "deviations", "one", "largest", "none")
