"""The methods once more, in Keras and NumPy: nothing shared with the lowerings."""
