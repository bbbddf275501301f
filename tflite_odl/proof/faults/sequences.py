"""Faults of loops over time, of masks, tables and attention."""

from __future__ import annotations

from tflite_odl.builtin import embedding, matmul, step_masks
from tflite_odl.builtin.lowering import Gradients
from tflite_odl.builtin.recurrent import loop, lstm
from tflite_odl.proof.faults.fault import Fault, answer, instead


def _without_cell(found: tuple) -> tuple:
    kept, (dh, dc) = found
    return kept, (dh, dc * 0.0)


def _three_quarters(found: Gradients) -> Gradients:
    weights = {role: value * 0.75 for role, value in found.weights.items()}
    return Gradients(found.inputs, weights)


def _of_values_lost(found: Gradients) -> Gradients:
    return Gradients([found.inputs[0], None], found.weights)


FAULTS = (
    Fault(
        "a masked step that moves the state",
        "tokens",
        loop,
        "_blend",
        instead(lambda mask, new, old: new),
    ),
    Fault(
        "a gradient through masked steps",
        "tokens",
        loop,
        "_parts",
        instead(lambda mask, gradient: (gradient, [0.0 * one for one in gradient])),
    ),
    Fault(
        "no gradient from cell to cell",
        "tokens",
        lstm.Lstm,
        "step_back",
        answer(_without_cell),
    ),
    Fault(
        "a table whose rows learn too little",
        "tokens",
        embedding.Embedding,
        "backward",
        answer(_three_quarters),
    ),
    Fault(
        "a mask of everything",
        "tokens",
        step_masks.Differs,
        "forward",
        answer(lambda found: type(found)(found.value * 0.0 + 1.0)),
    ),
    Fault(
        "no gradient for what is attended to",
        "attention",
        matmul.Matmul,
        "backward",
        answer(_of_values_lost),
    ),
    Fault(
        "a projection of heads without its bias' gradient",
        "attention",
        matmul.Contraction,
        "backward",
        answer(
            lambda found: Gradients(
                found.inputs,
                {r: v * (r == "kernel") for r, v in found.weights.items()},
            )
        ),
    ),
)
