"""`Session`: one artifact at work, every input checked, its state kept."""

from __future__ import annotations

import os
import pathlib
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from tflite_odl import contract
from tflite_odl.errors import CheckpointError, ContractError
from tflite_odl.host import checkpoint, rows, totals
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import RUNTIMES, Runtime
from tflite_odl.host.turns import Turns

Arrays = Mapping[str, np.ndarray]


class Session:
    """An artifact loaded into a runtime; threads may share it.

    Each call of the runtime, inputs written and outputs read, is one turn; turns come
    in the order in which threads ask. Of `infer` and `evaluate` each batch is a turn.

    Args:
      artifact: a folder, a bare `.tflite`, or an opened `Artifact`.
      runtime: "interpreter" or "compiled".
      threads: of the CPU kernels.
      checkpoint_dir: where `save_checkpoint` writes.

    Raises:
      ArtifactError, ContractError: the artifact cannot be used; nothing was loaded.
    """

    def __init__(
        self,
        artifact: str | os.PathLike | Artifact,
        runtime: str = "interpreter",
        threads: int = 2,
        checkpoint_dir: str | os.PathLike | None = None,
    ) -> None:
        if runtime not in RUNTIMES:
            raise ContractError(f"runtime {runtime!r} is not one of {list(RUNTIMES)}")
        opened = isinstance(artifact, Artifact)
        self.artifact = artifact if opened else Artifact.open(artifact)
        self.manifest = self.artifact.manifest
        self.checkpoint_dir = checkpoint_dir and pathlib.Path(checkpoint_dir)
        self.position = 0
        self._kind, self._threads = RUNTIMES[runtime], threads
        self._turn, self._files = Turns(), threading.RLock()
        self._runtime: Runtime | None = self._load()

    def _load(self) -> Runtime:
        return self._kind(self.artifact.model, self.manifest, self._threads)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the model; the session cannot be used again."""
        with self._turn:
            if self._runtime is not None:
                self._runtime.close()
            self._runtime = None

    def run(self, signature: str, **inputs: Any) -> dict[str, np.ndarray]:
        """Runs any signature with exactly its inputs.

        Raises:
          ContractError: an input is missing, unknown, or of another dtype or shape;
            the runtime was not touched.
        """
        spec = self.manifest.signature(signature)
        checked = spec.check_inputs(inputs)
        with self._turn:
            return self._open().run(signature, checked)

    def _open(self) -> Runtime:
        if self._runtime is None:
            raise ContractError("this session is closed: open another one")
        return self._runtime

    @property
    def batch_size(self) -> int:
        """Rows of one train call."""
        return self.manifest.signature(contract.TRAIN).inputs[0].shape[0]

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the model's inputs: `x`, unless there are several."""
        return self.manifest.signature(contract.INFER).input_names

    @property
    def step(self) -> int:
        """Training steps that changed the state."""
        return int(self.state()["step"][0])

    def train(self, **inputs: Any) -> dict[str, np.ndarray]:
        """Trains on one batch; a short one is padded and `count` says how far.

        Args:
          **inputs: x [n, ...], or each of several inputs by its name, and y [n, ...],
            n <= batch size; `count` [1], at most n, says that even fewer of them are
            real. Inputs with a `fill` may be left out, such as `weight` [n], 1 each.
            Labels are cast where that changes none, nothing else is.

        Returns:
          The method's metrics, by name.

        Raises:
          ContractError: an input does not fit; the state is as it was.
        """
        with self._turn:
            metrics = self._run_padded(self.manifest.signature(contract.TRAIN), inputs)
            self.position += 1
            return metrics

    def infer(self, x: Any = None, **inputs: Any) -> np.ndarray | dict[str, np.ndarray]:
        """Returns the output of any number of rows, [n, ...]; several by their names.

        Args:
          x: [n, ...], the only input.
          **inputs: each of several inputs by its name, instead.
        """
        spec = self.manifest.signature(contract.INFER)
        arrays = rows.together(spec, rows.named(spec, inputs, x))
        spec.check_names(arrays)
        parts = [
            self._run_padded(spec, part)
            for part in rows.slices(arrays, spec.inputs[0].shape[0])
        ]
        found = {}
        for output in spec.outputs:
            empty = np.zeros((0, *output.shape[1:]), output.dtype)
            whole = np.concatenate([empty, *(part[output.name] for part in parts)])
            found[output.name] = whole[: rows.length(arrays)]
        return found if len(found) > 1 else next(iter(found.values()))

    def evaluate(self, x: Any = None, y: Any = None, **inputs: Any) -> dict[str, float]:
        """Returns "loss", "count" and what else the artifact counts, over any rows.

        Unlabelled and bad rows are left out. Each output is a sum or a mean over all
        rows, as its `total` says; of "correct" in `count` there is the "accuracy" too,
        of several outputs with their names behind.

        Args:
          x: [n, ...], the only feature.
          y: labels, [n, ...].
          **inputs: each of several inputs by its name, instead of x; `weight`.
        """
        spec = self.manifest.signature(contract.EVALUATE)
        given = rows.named(spec, inputs, x, y)
        parts = rows.slices(rows.together(spec, given), spec.inputs[0].shape[0])
        found = totals.total(spec, (self._run_padded(spec, part) for part in parts))
        for name in [name for name in found if name.startswith("correct")]:
            output = name.removeprefix("correct")
            counted = max(found[f"count{output}"], 1)
            found[f"accuracy{output}"] = found[name] / counted
        return found

    def _run_padded(self, spec: contract.Signature, inputs: Mapping[str, Any]):
        return self.run(spec.name, **rows.padded(spec, inputs))

    def configure(self, **values: float) -> dict[str, float]:
        """Sets hyper-parameters by name, keeps the others; returns those in force.

        Raises:
          ContractError: a name is unknown, a value is no number or out of its range;
            nothing was set. NaN keeps the present value.
        """
        spec = self.manifest.signature(contract.CONFIGURE)
        unknown = sorted(set(values) - set(spec.input_names))
        if unknown:
            raise ContractError(
                f"configure knows {list(spec.input_names)}, got {unknown}"
            )
        inputs = {
            one.name: np.array([_number(one, values.get(one.name, np.nan))], np.float32)
            for one in spec.inputs
        }
        outputs = self.run(contract.CONFIGURE, **inputs)
        return {name: float(value[0]) for name, value in outputs.items()}

    def state(self, include_buffers: bool = False) -> dict[str, np.ndarray]:
        """Returns the state by name, without the user's raw data unless asked for."""
        with self._turn:
            everything = self._open().save()
        return {
            spec.name: everything[spec.name]
            for spec in self.manifest.state
            if include_buffers or spec.role != "buffer"
        }

    def load_state(self, state: Arrays) -> int:
        """Takes a state as `state(include_buffers=True)` gives it; returns its step."""
        return int(self.run(contract.RESTORE, **state)["step"][0])

    def reset(self) -> None:
        """Returns to the shipped state, as a fresh session has it."""
        with self._turn:
            present, fresh = self._open(), self._load()
            present.close()
            self._runtime, self.position = fresh, 0

    def save_checkpoint(self) -> pathlib.Path:
        """Writes the whole state to `checkpoint_dir`; returns the file."""
        with self._files:
            with self._turn:
                state, position = self.state(include_buffers=True), self.position
            now = checkpoint.Checkpoint(state, int(state["step"][0]), position)
            return checkpoint.save(self._folder(), self.manifest, now)

    def restore_checkpoint(self, refused=lambda error: None) -> int | None:
        """Takes the newest valid checkpoint; returns its step, None if there is none.

        Args:
          refused: called with the reason for each checkpoint that is passed over.

        Raises:
          CheckpointError: there are checkpoints, but none can be used; the state is as
            it was.
        """
        with self._files:
            found = checkpoint.latest(self._folder(), self.manifest, refused)
            if found is None:
                return None
            with self._turn:
                self.load_state(found.state)
                self.position = found.position
            return found.step

    def _folder(self) -> pathlib.Path:
        if self.checkpoint_dir is None:
            raise CheckpointError(
                "this session has no checkpoint_dir to keep its state"
            )
        return self.checkpoint_dir


def _number(spec: contract.TensorSpec, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ContractError(f"configure: {spec.name}={value!r} is no number") from error
    if not spec.allows(number):
        raise ContractError(f"configure: {spec.name}={value!r}, needs {spec.range}")
    return number
