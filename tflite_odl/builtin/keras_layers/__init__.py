"""Which Keras layers are understood: a converter per layer class, a file per family.

A converter takes a `keras_graph.LayerContext`, adds nodes and returns the last name.
"""

from __future__ import annotations

from tflite_odl.builtin.keras_layers import (
    activations,
    convolutions,
    dropout,
    functions,
    merging,
    normalizations,
    pooling,
    products,
    shapes,
)

CONVERTERS = {
    **products.CONVERTERS,
    **convolutions.CONVERTERS,
    **activations.CONVERTERS,
    **normalizations.CONVERTERS,
    **pooling.CONVERTERS,
    **merging.CONVERTERS,
    **shapes.CONVERTERS,
    **dropout.CONVERTERS,
    **functions.CONVERTERS,
}
