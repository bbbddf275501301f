"""Faults in what a layer computes, forward or backward."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tflite_odl.builtin import activations, batch_norm, dropout, tape
from tflite_odl.builtin.lowering import Gradient, Gradients
from tflite_odl.builtin.pooling import average, maximum
from tflite_odl.methods.features import Feature
from tflite_odl.methods.network import Network
from tflite_odl.proof.faults.fault import Fault, answer, given, instead

Norm = batch_norm.Centred


def _no_mask(self, site, residual, gradient):
    return Gradients([gradient])


def _mask_below_six_only(self, site, residual, gradient):
    mask = activations.positive(residual.rows["y"])
    return Gradients([gradient.times(mask)])


def _epsilon(self, sites, inputs):
    def other(site):
        attributes = {**site.node.attributes, "epsilon": 1.05e-3}
        node = dataclasses.replace(site.node, attributes=attributes)
        return dataclasses.replace(site, node=node)

    return self, [other(site) for site in sites], inputs


def _biased_rows(found, x, run):
    """n - 1 for n."""
    return tf.maximum(found - 1.0, 1.0)


def _without_slope(self, sites, residuals, gradients):
    shared = residuals[0].shared
    residuals = [
        dataclasses.replace(r, rows={"centred": tf.zeros_like(r.rows["centred"])})
        for r in residuals
    ]
    return (
        self,
        sites,
        [dataclasses.replace(r, shared=shared) for r in residuals],
        (gradients),
    )


def _moved(change):
    return answer(lambda moved, site: change(dict(moved), site) if moved else moved)


def _other_momentum(moved, site):
    before = site.weights["moving_mean"]
    return {**moved, "moving_mean": before + (moved["moving_mean"] - before) * 0.9}


def _still(moved, site):
    return {**moved, "moving_mean": site.weights["moving_mean"] + 0.0}


def _unbiased(moved, site):
    before = site.weights["moving_variance"]
    return {
        **moved,
        "moving_variance": before + (moved["moving_variance"] - before) * 0.99,
    }


def _to_last(window, axis, x, y, dy):
    """Each window's gradient to its last maximum."""
    taps, left = [], dy
    for tap in range(window.kernel[axis - 1] - 1, 0, -1):
        rest = left * maximum.below(maximum._read(window, axis, tap, x), y)
        taps.append(left - rest)
        left = rest
    return window.scatter_along([left, *taps[::-1]], axis)


def _halves(xs):
    return [x * 0.5 for x in xs]


def _first_chunk_only(right):
    """A chunk's part of each kernel gradient is left out."""

    def visit(self, node, gradients, waiting, found):
        own: dict = {}
        right(self, node, gradients, waiting, own)
        for name, parts in own.items():
            found.setdefault(name, []).extend(parts[:-1] or parts)

    return visit


FAULTS = (
    Fault(
        "a relu's mask dropped",
        "image",
        activations.Relu,
        "backward",
        instead(_no_mask),
    ),
    Fault(
        "relu6 masked at 0 only",
        "six",
        activations.Relu,
        "backward",
        instead(_mask_below_six_only),
    ),
    Fault(
        "a batch norm's epsilon 5 % too large",
        "image",
        Norm,
        "forward_chunks",
        given(_epsilon),
    ),
    Fault(
        "a batch norm's mean by n - 1 for n",
        "image",
        batch_norm,
        "_count",
        answer(_biased_rows),
    ),
    Fault(
        "a batch norm's mean over one axis for two",
        "image",
        batch_norm,
        "row_sums",
        given(lambda x: (x[:, :, :1] * float(x.shape[2]),)),
    ),
    Fault(
        "a batch norm's backward without its slope",
        "image",
        Norm,
        "backward_chunks",
        given(_without_slope),
    ),
    Fault(
        "a moving mean that never moves", "image", batch_norm, "_moved", _moved(_still)
    ),
    Fault(
        "a moving mean that moves too little",
        "image",
        batch_norm,
        "_moved",
        _moved(_other_momentum),
    ),
    Fault(
        "a moving variance by n for n - 1",
        "image",
        batch_norm,
        "_moved",
        _moved(_unbiased),
    ),
    Fault(
        "batch statistics at inference",
        "image",
        batch_norm,
        "_uses_batch",
        instead(lambda site: True),
    ),
    Fault(
        "a tie of a max pool to its last maximum",
        "ties",
        maximum,
        "_to_first",
        instead(_to_last),
    ),
    Fault(
        "an average over pixels outside the image",
        "average",
        average,
        "_inside",
        answer(lambda inside, window, axis: 0 * inside + window.kernel[axis]),
    ),
    Fault(
        "one chunk left out of a kernel's gradient",
        "chunks",
        tape.Tape,
        "_visit",
        _first_chunk_only,
    ),
    Fault(
        "a dropout mask that is not scaled up",
        "dropout",
        dropout,
        "drawn",
        answer(lambda drawn: drawn * 0.75),
    ),
    Fault(
        "a dropout's salt repeated",
        "dropout",
        dropout.random,
        "uniform",
        given(lambda state, shape, salt=0, places=None: (state, shape, 7, places)),
    ),
    Fault(
        "a salt of input noise repeated",
        "noise",
        Feature,
        "noise",
        given(lambda self, state, rows, salts: (self, state, rows, lambda name: 0)),
    ),
    Fault(
        "noise only upwards",
        "noise",
        Feature,
        "noise",
        answer(lambda noise: noise * 0.5 + 0.5),
    ),
    Fault(
        "preprocessing left out of inference",
        "scaled",
        Network,
        "infer",
        given(lambda self, state, x, rows: (self, state, _halves(x), rows)),
    ),
    Fault(
        "the gradient of a sum to one of its inputs only",
        "image",
        Gradient,
        "dense",
        answer(lambda value, self: value * 1.0005),
    ),
)
