"""Makes a converted model small, and orders its ops."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from tflite_odl.exporter import flatbuffer
from tflite_odl.exporter.schedule import schedule

# What the converter leaves for its own telemetry; no runtime reads it.
CONVERTER_NOTES = b"CONVERSION_METADATA"


def compact(model: bytes | schema.ModelT) -> bytes:
    """Returns the same model without names, notes and repetitions, in a good order.

    What goes: names of tensors (signatures find theirs by index), quantization tables
    without a scale, the converter's notes, empty buffers, equal constants; what is
    equal in the tables is shared. The ops run in another order (see `schedule`), each
    on the same values, so both runtimes compute the same bits. A model that is read
    already is changed in place.
    """
    tree = flatbuffer.read(model)
    tree.description = None
    _drop_notes(tree)
    for tensor in flatbuffer.tensors(tree):
        tensor.name = None
        if tensor.quantization is not None and tensor.quantization.scale is None:
            tensor.quantization = None
    flatbuffer.share_buffers(tree)
    schedule(tree)
    return flatbuffer.write(tree)


def _drop_notes(tree: schema.ModelT) -> None:
    tree.metadata = [m for m in tree.metadata or () if m.name != CONVERTER_NOTES]
