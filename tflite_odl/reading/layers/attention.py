"""Attention, made of products, a softmax and, with several heads, projections.

A mask is added to the scores, as Keras does: 0 where a step may be attended to, -1e9
elsewhere.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tflite_odl.reading import masks
from tflite_odl.reading.layers import dropout

_FAR = 1e9


def multi_head(context) -> list[str]:
    layer, call = context.layer, context.call
    given = inspect.signature(layer.call).bind(*call.call_args, **call.call_kwargs)
    given = given.arguments
    query, context.mask = context.argument(given["query"])
    value, value_mask = context.argument(given["value"])
    key, key_mask = value, None
    if given.get("key") is not None:
        key, key_mask = context.argument(given["key"])
    shapes = [context.builder.shape(name) for name in (query, key, value)]
    places = shapes[0][:-1]
    if len({len(shape) for shape in shapes}) > 1 or not places:
        raise context.refuse(f"inputs of shapes {shapes}", "inputs [B, T, C]")
    if tuple(layer._attention_axes) != tuple(range(1, len(shapes[0]))):
        what = f"attention_axes={layer._attention_axes}, not over all steps"
        raise context.refuse(what, "attention_axes=None")
    if len(places) > 1:
        _check_plain(context, given, (context.mask, value_mask, key_mask))
        three = (query, key, value)
        rows = {name: _in_a_row(context, name) for name in dict.fromkeys(three)}
        query, key, value = (rows[name] for name in three)
    queries, keys = (context.builder.shape(name)[0] for name in (query, key))
    heads, size = layer._num_heads, layer._key_dim
    q = _projected(context, query, layer._query_dense, "query")
    q = context.node(
        "affine",
        [q],
        (heads, queries, size),
        {"scale": 1 / math.sqrt(size)},
        suffix="/scaled",
    )
    k = _projected(context, key, layer._key_dense, "key")
    v = _projected(context, value, layer._value_dense, "value")
    scores = context.node(
        "matmul", [q, k], (heads, queries, keys), {"transpose": True}, suffix="/scores"
    )
    marked = [context.mask] if context.mask else []
    columns = [mask for mask in (value_mask, key_mask) if mask]
    causal = bool(given.get("use_causal_mask"))
    allowed = _allowed(context, marked, columns, (queries, keys))
    if (explicit := given.get("attention_mask")) is not None:
        mask = _explicit(context, explicit, whole=causal or allowed is not None)
        allowed = _and(context, allowed, mask)
    scores = _masked(context, scores, allowed, causal)
    weights, y = _weighted(context, scores, v, float(layer._dropout))
    order, size = (2, 1, 3), context.shape[-1]
    y = context.node(
        "permute", [y], (queries, heads, size), {"order": order}, suffix="/joined"
    )
    dense = layer._output_dense
    shape = (queries, *dense.kernel.shape[2:])
    y = context.node(
        "contraction",
        [y],
        shape,
        {"contracted": 2},
        {"kernel": dense.kernel, "bias": dense.bias},
        suffix="/output",
    )
    if len(places) > 1:
        whole = (*places, *shape[1:])
        y = context.node("reshape", [y], whole, {"input": shape}, suffix="/places")
    return [y, weights] if given.get("return_attention_scores") else [y]


def _check_plain(context, given: Mapping[str, Any], found: Sequence[Any]) -> None:
    """Raises ModelError for what is built for steps along one axis only."""
    names = ("attention_mask", "use_causal_mask", "return_attention_scores")
    said = [name for name in names if given.get(name) not in (None, False)]
    if said or any(found):
        what = said[0] if said else "a mask"
        raise context.refuse(f"{what} with steps along several axes", "[B, T, C]")


def _in_a_row(context, source: str) -> str:
    """Adds [..., C] as [T, C]."""
    shape = context.builder.shape(source)
    flat = (math.prod(shape[:-1]), shape[-1])
    return context.node("reshape", [source], flat, {"input": shape}, suffix="/in_a_row")


def _projected(context, source: str, dense, role: str) -> str:
    """Adds the projection of [T, C] by each head, [H, T, K]."""
    steps = context.builder.shape(source)[0]
    heads, size = dense.kernel.shape[1:]
    weights = {"kernel": dense.kernel, "bias": dense.bias}
    shape, attributes = (steps, heads, size), {"contracted": 1}
    y = context.node(
        "contraction", [source], shape, attributes, weights, suffix=f"/{role}"
    )
    shape, order = (heads, steps, size), {"order": (2, 1, 3)}
    return context.node("permute", [y], shape, order, suffix=f"/{role}/heads")


def dot_product(context) -> list[str]:
    """Luong's attention: softmax(q k^T) v."""
    layer = context.layer
    if layer.use_scale:
        raise context.refuse("use_scale=True, a weight on its scores", "False")
    if layer.score_mode != "dot":
        raise context.refuse(f"score_mode={layer.score_mode!r}", "'dot'")
    query, value, key = _three(context)
    shapes = [context.builder.shape(name)[0] for name in (query, key)]
    scores = context.node(
        "matmul", [query, key], shapes, {"transpose": True}, suffix="/scores"
    )
    return _attended(context, scores, value)


def additive(context) -> list[str]:
    """Bahdanau's attention: softmax(sum scale tanh(q + k)) v."""
    if not context.layer.use_scale:
        raise context.refuse("use_scale=False", "use_scale=True")
    query, value, key = _three(context)
    (queries, size), (keys, _) = map(context.builder.shape, (query, key))
    wide = [(queries, 1, size), (1, keys, size)]
    parts = [
        context.node(
            "reshape",
            [name],
            shape,
            {"input": context.builder.shape(name)},
            suffix=f"/{role}",
        )
        for name, shape, role in zip((query, key), wide, ("queries", "keys"))
    ]
    shape = (queries, keys, size)
    sums = context.node("add", parts, shape, {"inputs": tuple(wide)}, suffix="/sums")
    curved = context.node("tanh", [sums], shape, suffix="/tanh")
    weights = {"kernel": context.layer.scale}
    scores = context.node(
        "contraction", [curved], shape[:2], {"contracted": 1}, weights, "/scores"
    )
    return _attended(context, scores, value)


def _three(context) -> tuple[str, str, str]:
    """Returns query, value and key; sets the mask of the output, the query's."""
    query, value, *key = context.given
    context.mask = context.masks[0]
    return query, value, key[0] if key else value


def _attended(context, scores: str, value: str) -> list[str]:
    layer, kwargs = context.layer, context.call.call_kwargs
    shape = context.builder.shape(scores)
    columns = [context.masks[1]] if context.masks[1] else []
    allowed = _allowed(context, [], columns, shape)
    causal = bool(getattr(layer, "causal", False) or kwargs.get("use_causal_mask"))
    scores = _masked(context, scores, allowed, causal)
    weights, y = _weighted(context, scores, value, float(layer.dropout))
    if context.mask is not None:
        y = masks.times(context, y, context.mask, context.builder.shape(y))
    return [y, weights] if kwargs.get("return_attention_scores") else [y]


def _weighted(context, scores: str, value: str, rate: float) -> tuple[str, str]:
    """Adds the softmax of scores, dropout and what the weights make of the values;
    returns the weights before dropout, and that."""
    shape, size = context.builder.shape(scores), context.builder.shape(value)[-1]
    weights = kept = context.node("softmax", [scores], shape, suffix="/weights")
    if rate:
        kept = dropout.entries(context, rate, suffix="/dropout")
    out = (*shape[:-1], size)
    attributes = {"transpose": False}
    y = context.node("matmul", [kept, value], out, attributes, suffix="/attended")
    return weights, y


def _allowed(
    context, rows: Sequence[str], columns: Sequence[str], shape: Sequence[int]
) -> str | None:
    """Returns the node of what may be attended to, [T, S], by masks of both."""
    found = None
    for names, wide, role in (
        (rows, (shape[0], 1), "row"),
        (columns, (1, shape[1]), "column"),
    ):
        if names:
            mask = masks.all_of(context, names, f"/{role}s")
            mask = masks.reshaped(context, mask, wide, f"/{role}")
            found = _and(context, found, mask)
    return found


def _and(context, one: str | None, other: str) -> str:
    if one is None:
        return other
    shapes = map(context.builder.shape, (one, other))
    shape = [max(sizes) for sizes in zip(*shapes, strict=True)]
    return context.node("multiply", [one, other], shape, suffix="/allowed")


def _explicit(context, tensor, whole: bool) -> str:
    """Returns the node of a mask among the arguments; Keras makes 0 and 1 of it where
    there is another one."""
    name, _ = context.argument(tensor)
    if len(context.builder.shape(name)) != 2:
        raise context.refuse("an attention mask for each head", "one [B, T, S]")
    return masks.add(context, name, 0.0, features=False) if whole else name


def _masked(context, scores: str, allowed: str | None, causal: bool) -> str:
    """Adds scores with -1e9 where they are not allowed, or come from later steps."""
    shape = context.builder.shape(scores)
    earlier = np.tri(*shape[-2:]) if causal else None
    if allowed is None:
        if earlier is None:
            return scores
        offset = (earlier - 1.0) * _FAR
        return context.node(
            "affine", [scores], shape, {"offset": offset}, suffix="/masked"
        )
    if earlier is not None:
        attributes = {"scale": earlier}
        allowed = context.node(
            "affine", [allowed], earlier.shape, attributes, suffix="/causal"
        )
    wide = context.builder.shape(allowed)
    attributes = {"scale": _FAR, "offset": -_FAR}
    far = context.node("affine", [allowed], wide, attributes, suffix="/far")
    wide = (*[1] * (len(shape) - 2), *wide)
    far = masks.reshaped(context, far, wide, "/far/heads")
    return context.node(
        "add", [scores, far], shape, {"inputs": (shape, wide)}, suffix="/masked"
    )


CONVERTERS = {
    "AdditiveAttention": additive,
    "Attention": dot_product,
    "MultiHeadAttention": multi_head,
}
MASKED = frozenset(CONVERTERS)
