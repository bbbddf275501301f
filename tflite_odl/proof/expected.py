"""What TensorFlow says of a trial: the calls, and what they must return and leave."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from tflite_odl.contract import Manifest
from tflite_odl.proof.limits import TENSORFLOW_MULTIPLE, Error, Limits
from tflite_odl.proof.proof import Answer, Arrays, Proof, Trial

# A choice that hangs on less may fall the other way: such a batch proves nothing.
CLEAR_MARGIN = 1e-5


@dataclasses.dataclass(frozen=True)
class Expectation:
    """One call from a known state.

    Attributes:
      signature: what is called.
      before: the state.
      inputs: of the call.
      answer64: what must come of it.
      again32: returns the same in float32.
      kinds: of the state's tensors.
      calm: see `Trial`.
      earlier: what TensorFlow's own errors were in this trial's other batches, by kind
        of tensor.
    """

    signature: str
    before: Arrays
    inputs: Arrays
    answer64: Answer
    again32: Callable[[], Answer]
    kinds: Mapping[str, str]
    calm: bool
    earlier: Mapping[str, Error]

    @functools.cached_property
    def answer32(self) -> Answer:
        return self.again32()

    @property
    def moves(self) -> bool:
        """Whether the call changes the state."""
        return self.answer64.state is not self.before

    @functools.cached_property
    def own_outputs(self) -> dict[str, float]:
        """TensorFlow float32's largest error of each output, in any batch so far."""
        found = {}
        for name, value in self.answer64.outputs.items():
            off = np.abs(np.asarray(self.answer32.outputs[name], np.float64) - value)
            before = self.earlier.get(f"output {name}")
            found[name] = max(float(off.max()), before.whole if before else 0.0)
        return found

    @functools.cached_property
    def limits(self) -> Limits:
        answers = (self.answer32, self.answer64)
        return Limits(self.before, *answers, self.kinds, self.calm, self.earlier)

    @property
    def clear(self) -> bool:
        """Whether float32 made every choice as float64, with a margin, and has each
        gradient that is no noise."""
        if not self.moves and not self.answer64.margins.size:
            return True
        exact, rounded = self.answer64.margins, self.answer32.margins
        if exact.shape != rounded.shape:
            return False
        off = TENSORFLOW_MULTIPLE * np.abs(exact - rounded)
        chosen = (np.abs(exact) > np.maximum(CLEAR_MARGIN, off)).all()
        return bool(chosen) and not (self.moves and self.limits.unclear)


class Expectations:
    """Makes expectations, by the references in float32 and in float64, side by side.

    Args:
      proof: of the method.
      manifest: of the artifact; names signatures and state.
    """

    def __init__(self, proof: Proof, manifest: Manifest) -> None:
        self.proof = proof
        self.shapes = {
            name: {spec.name: spec.shape for spec in signature.inputs}
            for name, signature in manifest.signatures.items()
        }
        # A tensor that no method groups with others is of a kind of its own.
        kinds = {spec.name: f"{spec.role} {spec.name}" for spec in manifest.state}
        self.kinds = {**kinds, **proof.kinds()}
        self.float32 = proof.reference("float32")
        self.float64 = proof.reference("float64")

    def of(
        self,
        trial: Trial,
        state: Arrays,
        batch: Arrays,
        earlier: Mapping[str, Error] = MappingProxyType({}),
    ) -> Sequence[Expectation]:
        """Returns what must come of each of a trial's calls from a state."""
        found = []
        for signature in trial.signatures:
            inputs = self.proof.inputs(signature, batch, self.shapes[signature])
            call = (signature, state, inputs)
            exact = self.float64.call(*call)
            again = functools.partial(self.float32.call, *call)
            expected = (exact, again, self.kinds, trial.calm, earlier)
            found.append(Expectation(*call, *expected))
        return found
