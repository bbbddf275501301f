"""Tables that are indexed by whole numbers, and masks over steps."""

from __future__ import annotations

from tflite_odl.reading import masks

# Whole numbers are exact in float32 up to here.
_MOST_ROWS = 2**23


def embedding(context) -> str:
    layer, source = context.layer, context.inputs[0]
    if layer.input_dim > _MOST_ROWS:
        raise context.refuse(f"a table of {layer.input_dim} rows", f"{_MOST_ROWS} rows")
    if layer.sparse:
        raise context.refuse("sparse=True, a sparse tensor", "sparse=False")
    if layer.mask_zero:
        context.mask = masks.add(context, source, 0.0, features=False)
    context.builder.index(source, layer.input_dim)
    shape = context.builder.shape(source)
    return context.node(
        "embedding",
        [source],
        (*shape, layer.output_dim),
        {"draws": {0: "whole"}},
        {"table": layer.embeddings},
    )


def masking(context) -> str:
    """Steps all of whose features are `mask_value` become 0, and are masked."""
    source, value = context.inputs[0], float(context.layer.mask_value)
    shape = context.shape
    context.mask = masks.add(context, source, value, features=True)
    return masks.times(context, source, context.mask, shape)


CONVERTERS = {
    "Embedding": embedding,
    "Masking": masking,
}
MASKED = frozenset(CONVERTERS)
