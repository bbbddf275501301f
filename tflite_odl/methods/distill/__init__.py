"""`distill`: a real-valued teacher trains a binary or low-bit student."""
