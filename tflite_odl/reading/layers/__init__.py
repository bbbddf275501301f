"""Which Keras layers are understood: a converter per layer class, a file per family.

A converter takes a `reading.graph.LayerContext`, adds nodes and returns the last name.
"""

from __future__ import annotations

from tflite_odl.reading.layers import (
    activations,
    attention,
    categories,
    convolutions,
    dropout,
    functions,
    merging,
    normalizations,
    pooling,
    products,
    recurrent,
    resizing,
    shapes,
    tables,
)

CONVERTERS = {
    **products.CONVERTERS,
    **convolutions.CONVERTERS,
    **activations.CONVERTERS,
    **normalizations.CONVERTERS,
    **pooling.CONVERTERS,
    **merging.CONVERTERS,
    **shapes.CONVERTERS,
    **resizing.CONVERTERS,
    **categories.CONVERTERS,
    **dropout.CONVERTERS,
    **functions.CONVERTERS,
    **attention.CONVERTERS,
    **recurrent.CONVERTERS,
    **tables.CONVERTERS,
}

# Layers whose converters use masks, or say what becomes of them.
MASKED = frozenset(
    {*attention.MASKED, *recurrent.MASKED, *tables.MASKED, *pooling.MASKED}
)
