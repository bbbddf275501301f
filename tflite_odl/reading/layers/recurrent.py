"""Recurrent layers, one way and both ways."""

from __future__ import annotations

from tflite_odl.builtin.recurrent.curves import CURVES
from tflite_odl.reading import instead, masks, understood
from tflite_odl.reading.layers import merging
from tflite_odl.reading.layers.activations import name_of

OPS = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "simple_rnn"}
_MERGES = {
    "concat": lambda context: merging.add_concatenation(context, -1),
    "sum": merging.add,
    "ave": merging.average,
    "mul": merging.multiply,
}


def one_way(context) -> str:
    if context.layer.return_sequences:
        context.mask = context.masks[0]
    return _add(context, context.layer, "", aligned=False)


def both_ways(context) -> list[str]:
    """Bidirectional: a layer from the start, one from the end, and what joins them."""
    layer = context.layer
    parts = {"/forward": layer.forward_layer, "/backward": layer.backward_layer}
    for suffix, part in parts.items():
        if type(part).__name__ not in OPS:
            raise context.refuse(f"a {type(part).__name__} inside", f"one of {[*OPS]}")
        understood.check_layer(part, context.path + suffix)
    if layer.forward_layer.return_sequences:
        context.mask = context.masks[0]
    found = [_add(context, part, suffix, True) for suffix, part in parts.items()]
    if layer.merge_mode is None:
        return found
    context.inputs = found
    return [_MERGES[layer.merge_mode](context)]


def _add(context, layer, suffix: str, aligned: bool) -> str:
    """Adds the node of a recurrent layer."""
    _check(context, layer)
    (source,), mask = context.given, context.masks[0]
    steps = context.builder.shape(source)[0]
    curves = {
        role: _curve(context, getattr(layer, role))
        for role in ("activation", "recurrent_activation")
        if hasattr(layer, role)
    }
    attributes = {
        **curves,
        "units": layer.units,
        "sequences": layer.return_sequences,
        "backwards": layer.go_backwards,
        "aligned": aligned,
    }
    if mask is not None and layer.zero_output_for_mask and not aligned:
        raise context.refuse("zero_output_for_mask=True", "Bidirectional")
    if hasattr(layer, "reset_after"):
        attributes["reset_after"] = layer.reset_after
    inputs = [source] if mask is None else [source, mask]
    if mask is not None:
        attributes["draws"] = {1: "mask"}
    shape = (steps, layer.units) if layer.return_sequences else (layer.units,)
    cell = layer.cell
    weights = {
        "kernel": cell.kernel,
        "recurrent": cell.recurrent_kernel,
        "bias": cell.bias,
    }
    op = OPS[type(layer).__name__]
    y = context.node(op, inputs, shape, attributes, weights, suffix)
    if mask is None or not (layer.return_sequences and layer.zero_output_for_mask):
        return y
    return masks.times(context, y, mask, shape, f"{suffix}/counted")


def _check(context, layer) -> None:
    if len(context.given) > 1 or context.call.call_kwargs.get("initial_state"):
        raise context.refuse("an initial state", "a call without: it begins at 0")
    if layer.stateful:
        raise context.refuse(*instead.STATEFUL)
    if layer.return_state:
        last = "return_sequences=True, whose last step is the state h"
        raise context.refuse("return_state=True", last)
    if layer.time_major:
        raise context.refuse("time_major=True", "[B, T, C]")
    for name in ("dropout", "recurrent_dropout"):
        if getattr(layer, name):
            raise context.refuse(f"{name}={getattr(layer, name)}", "a Dropout layer")


def _curve(context, function) -> str:
    name = name_of(function)
    if name not in CURVES:
        raise context.refuse(f"activation {name!r}", f"one of {sorted(CURVES)}")
    return name


CONVERTERS = {**dict.fromkeys(OPS, one_way), "Bidirectional": both_ways}
MASKED = frozenset(CONVERTERS)
