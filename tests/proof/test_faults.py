"""Every fault of the table is refused, and right artifacts never are."""

from __future__ import annotations

import contextlib
import functools
import hashlib

import numpy as np
import pytest

from tests.proof.nets import NETS
from tflite_odl.errors import ExportError
from tflite_odl.exporter.build import build
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.proof import gate
from tflite_odl.proof.faults import FAULTS
from tflite_odl.proof.proof import Answer, Arrays, Reference

INFER_ROWS = 2


class Remembered(Reference):
    """A reference that answers the same call once: a fault does not concern it."""

    def __init__(self, reference: Reference) -> None:
        self.reference, self.answers = reference, {}

    def call(self, signature: str, state: Arrays, inputs: Arrays) -> Answer:
        key = hashlib.sha256(signature.encode())
        for name, value in [*sorted(state.items()), *sorted(inputs.items())]:
            key.update(name.encode() + np.asarray(value).tobytes())
        known = self.answers.get(key.digest())
        if known is None:
            known = self.reference.call(signature, state, inputs)
            self.answers[key.digest()] = known
        return known


@functools.cache
def prepared(net: str):
    """Returns (method, its proof, which remembers what its references say)."""
    method = NETS[net].of()
    proof = method.proof(NETS[net].sample())
    references = {d: Remembered(proof.reference(d)) for d in ("float32", "float64")}
    proof.reference = references.__getitem__
    return method, proof


def built(net: str):
    return build(prepared(net)[0], NETS[net].batch, INFER_ROWS)


def proven(net: str, model, manifest, state=None, seed: int = 0):
    method, proof = prepared(net)
    shipped = {name: tensor.value for name, tensor in method.state().items()}
    with contextlib.ExitStack() as stack:
        runtimes = {
            name: stack.enter_context(kind(model, manifest))
            for name, kind in RUNTIMES.items()
        }
        rows = NETS[net].batch
        return gate.prove(proof, manifest, runtimes, shipped, rows, seed, state)


def test_names_of_faults_are_unique_and_there_are_enough():
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names) >= 40


# Every third in `make test`, the others in `make test-slow`.
SOME = [
    pytest.param(fault, id=fault.name, marks=[pytest.mark.slow] * (number % 3 > 0))
    for number, fault in enumerate(FAULTS)
]


@pytest.mark.parametrize("fault", SOME)
def test_a_fault_is_refused(fault):
    with fault.put_in():
        model, manifest = built(fault.net)
    with pytest.raises(ExportError, match=r"signature|output"):
        proven(fault.net, model, manifest)


@pytest.mark.parametrize("net", NETS)
def test_without_a_fault_it_is_accepted(net):
    proofs = proven(net, *built(net))
    assert proofs["batches"]["agreed"] >= 4


@pytest.mark.slow
@pytest.mark.parametrize("net", ["image", "adam", "skip"])
def test_right_artifacts_are_accepted_from_any_weights(net):
    """Of 20 seeds of weights and of batches."""
    model, manifest = built(net)
    shipped = {n: t.value for n, t in prepared(net)[0].state().items()}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        state = {
            spec.name: shipped[spec.name] + _shaken(spec, shipped[spec.name], rng)
            for spec in manifest.state
        }
        proven(net, model, manifest, state, seed + 1)


def _shaken(spec, value: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns what to add to a weight; moving variances stay above 0."""
    if spec.role != "weight":
        return np.zeros_like(value)
    return (rng.uniform(0.0, 0.5, value.shape)).astype(value.dtype)
