"""Straight-through quantizers of weights and of activations."""
