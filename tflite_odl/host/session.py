"""`Session`: one artifact at work, every input checked, its state kept."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tflite_odl import contract
from tflite_odl.errors import CheckpointError, ContractError
from tflite_odl.host import checkpoint, rows
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import RUNTIMES, Runtime

Arrays = Mapping[str, np.ndarray]
UNUSED = {"unused": np.zeros(1, np.float32)}
# Outputs of `evaluate` that add up over calls; of the others the mean is taken.
COUNTS = ("count", "correct")


class Session:
    """An artifact loaded into a runtime.

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
        self._runtime: Runtime | None = self._load()

    def _load(self) -> Runtime:
        return self._kind(self.artifact.model, self.manifest, self._threads)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the model; the session cannot be used again."""
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
        return self._open().run(signature, spec.check_inputs(inputs))

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
            real; where the artifact takes `weight` [n], it is 1 each if left out.

        Returns:
          The method's metrics, by name.

        Raises:
          ContractError: an input does not fit; the state is as it was.
        """
        metrics = self._run_padded(self.manifest.signature(contract.TRAIN), inputs)
        self.position += 1
        return metrics

    def infer(self, x: Any = None, **inputs: Any) -> np.ndarray:
        """Returns the outputs of any number of rows, [n, C].

        Args:
          x: [n, ...], the only input.
          **inputs: each of several inputs by its name, instead.
        """
        spec = self.manifest.signature(contract.INFER)
        (output,) = spec.outputs
        arrays = rows.together(contract.INFER, _named(x, inputs))
        spec.check_names(arrays)
        parts = [
            self._run_padded(spec, part)[output.name]
            for part in rows.slices(arrays, spec.inputs[0].shape[0])
        ]
        empty = np.zeros((0, *output.shape[1:]), output.dtype)
        return np.concatenate([empty, *parts])[: rows.length(arrays)]

    def evaluate(self, x: Any = None, y: Any = None, **inputs: Any) -> dict[str, float]:
        """Returns "loss", "count" and what else the artifact counts, over any rows.

        Unlabelled and bad rows are left out. "correct" is a number of `count`, with its
        "accuracy"; everything else is the mean of the others.

        Args:
          x: [n, ...], the only input.
          y: labels, [n, ...].
          **inputs: each of several inputs by its name, instead of x; `weight`.
        """
        spec = self.manifest.signature(contract.EVALUATE)
        arrays = rows.together(contract.EVALUATE, _named(x, inputs) | {"y": y})
        sums = dict.fromkeys(spec.output_names, 0.0)
        for part in rows.slices(arrays, spec.inputs[0].shape[0]):
            outputs = self._run_padded(spec, part)
            count = int(outputs["count"][0])
            for name, value in outputs.items() if count else ():
                factor = 1 if name in COUNTS else count
                sums[name] += float(value[0]) * factor
        return _means(sums)

    def _run_padded(self, spec: contract.Signature, inputs: Mapping[str, Any]):
        return self.run(spec.name, **rows.padded(spec, inputs))

    def configure(self, **values: float) -> dict[str, float]:
        """Sets hyper-parameters by name, keeps the others; returns those in force."""
        spec = self.manifest.signature(contract.CONFIGURE)
        unknown = sorted(set(values) - set(spec.input_names))
        if unknown:
            raise ContractError(
                f"configure knows {list(spec.input_names)}, got {unknown}"
            )
        inputs = {
            name: np.array([_number(name, values.get(name, np.nan))], np.float32)
            for name in spec.input_names
        }
        outputs = self.run(contract.CONFIGURE, **inputs)
        return {name: float(value[0]) for name, value in outputs.items()}

    def state(self, include_buffers: bool = False) -> dict[str, np.ndarray]:
        """Returns the state by name, without the user's raw data unless asked for."""
        everything = self._open().run(contract.SAVE, UNUSED)
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
        present, fresh = self._open(), self._load()
        present.close()
        self._runtime, self.position = fresh, 0

    def save_checkpoint(self) -> pathlib.Path:
        """Writes the whole state to `checkpoint_dir`; returns the file."""
        state = self.state(include_buffers=True)
        now = checkpoint.Checkpoint(state, int(state["step"][0]), self.position)
        return checkpoint.save(self._folder(), self.manifest, now)

    def restore_checkpoint(self, refused=lambda error: None) -> int | None:
        """Takes the newest valid checkpoint; returns its step, None if there is none.

        Args:
          refused: called with the reason for each checkpoint that is passed over.

        Raises:
          CheckpointError: there are checkpoints, but none can be used; the state is as
            it was.
        """
        found = checkpoint.latest(self._folder(), self.manifest, refused)
        if found is None:
            return None
        self.load_state(found.state)
        self.position = found.position
        return found.step

    def _folder(self) -> pathlib.Path:
        if self.checkpoint_dir is None:
            raise CheckpointError(
                "this session has no checkpoint_dir to keep its state"
            )
        return self.checkpoint_dir


def _named(x: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the inputs by name; x is the only one's."""
    return dict(inputs) if x is None else {"x": x, **inputs}


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ContractError(f"configure: {name}={value!r} is no number") from error


def _means(sums: Mapping[str, float]) -> dict[str, float]:
    """Returns what `evaluate` says of all calls together."""
    count = int(sums["count"])
    found: dict[str, float] = {
        name: int(value) if name in COUNTS else value / max(count, 1)
        for name, value in sums.items()
    }
    if "correct" in found:
        found["accuracy"] = found["correct"] / max(count, 1)
    return found
