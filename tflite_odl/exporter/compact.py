"""Makes a converted model small, and orders its ops."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from tflite_odl.exporter import flatbuffer
from tflite_odl.exporter.schedule import schedule

# What the converter leaves for its own telemetry; no runtime reads it.
CONVERTER_NOTES = b"CONVERSION_METADATA"


def compact(model: bytes | schema.ModelT) -> bytes:
    """Returns the same model without names, notes and repetitions, in a good order.

    What goes: names of tensors and of subgraphs, which go by index, quantization tables
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
    _order_subgraphs(tree)
    return flatbuffer.write(tree)


def _order_subgraphs(tree: schema.ModelT) -> None:
    """Puts subgraphs into the order in which the signatures reach them, unnamed.

    The converter sorts them by names that count what the process traced before, so that
    the same model would be another file.
    """
    first = [entry.subgraph for entry in flatbuffer.signatures(tree).values()]
    reached = [i for start in first for i in flatbuffer.reachable(tree, start)]
    order = list(dict.fromkeys([*first, *reached, *range(len(tree.subgraphs))]))
    place = {old: new for new, old in enumerate(order)}
    tree.subgraphs = [tree.subgraphs[old] for old in order]
    for graph in tree.subgraphs:
        graph.name = None
        for op in graph.operators or ():
            flatbuffer.redirect_calls(op, place)
    for signature in tree.signatureDefs or ():
        signature.subgraphIndex = place[int(signature.subgraphIndex)]


def _drop_notes(tree: schema.ModelT) -> None:
    tree.metadata = [m for m in tree.metadata or () if m.name != CONVERTER_NOTES]
