"""`Session`: one artifact at work, every input checked, its state kept."""

from __future__ import annotations

import os
import pathlib
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from tflite_odl import contract
from tflite_odl.contract.names import CLASSIFY, ENROLL, REFRESH
from tflite_odl.errors import CheckpointError, ContractError, RunError
from tflite_odl.host import checkpoint, rows, totals
from tflite_odl.host.adopt import Adopted, adopt
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.claim import Claim
from tflite_odl.host.runtimes import RUNTIMES, Runtime
from tflite_odl.host.turns import Turns
from tflite_odl.signing import Key

Arrays = Mapping[str, np.ndarray]


class Session:
    """An artifact loaded into a runtime; threads may share it.

    Each call of the runtime, inputs written and outputs read, is one turn; turns come
    in the order in which threads ask. Of `infer` and `evaluate` each batch is a turn.

    Args:
      artifact: a folder, a bare `.tflite`, or an opened `Artifact`.
      runtime: "interpreter", "compiled", or a class of `host.runtimes`.
      threads: of the CPU kernels.
      checkpoint_dir: where `save_checkpoint` writes.
      trusted: an Ed25519 public key, a PEM file or 32 bytes; an artifact that it has
        not signed is refused.

    Raises:
      ArtifactError, ContractError: the artifact cannot be used; nothing was loaded.
    """

    def __init__(
        self,
        artifact: str | os.PathLike | Artifact,
        runtime: str | type[Runtime] = "interpreter",
        threads: int = 2,
        checkpoint_dir: str | os.PathLike | None = None,
        trusted: Key | None = None,
    ) -> None:
        kind = RUNTIMES.get(runtime) if isinstance(runtime, str) else runtime
        if kind is None:
            raise ContractError(f"runtime {runtime!r} is not one of {list(RUNTIMES)}")
        opened = isinstance(artifact, Artifact)
        if opened:
            self.artifact = artifact
            artifact.check_signature(trusted)
        else:
            self.artifact = Artifact.open(artifact, trusted=trusted)
        self.manifest = self.artifact.manifest
        self.checkpoint_dir = checkpoint_dir and pathlib.Path(checkpoint_dir)
        self.position = 0
        # Whether what is enrolled was embedded before the last training.
        self._stale = True
        self._kind, self._threads = kind, threads
        self._turn, self._files = Turns(), threading.RLock()
        self._failed, self._claim = "", None
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
        with self._files:
            if self._claim is not None:
                self._claim.release()
            self._claim = None

    def run(self, signature: str, /, **inputs: Any) -> dict[str, np.ndarray]:
        """Runs any signature with exactly its inputs.

        Raises:
          ContractError: an input is missing, unknown, or of another dtype or shape, or
            a state to restore is out of its ranges; the runtime was not touched.
          RunError: the runtime failed. The state may be half of a step, so the session
            then refuses every call until it is `reset` or a state is restored.
        """
        spec = self.manifest.signature(signature)
        checked = spec.check_inputs(inputs)
        if signature == contract.RESTORE:
            self._check_state(checked)
        with self._turn:
            if signature == contract.RESTORE and self._failed:
                self._reload()
            return self._call(signature, checked)

    def _call(self, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
        runtime = self._open()
        try:
            return runtime.run(signature, inputs)
        except RunError as error:
            self._failed = str(error)
            raise

    def _open(self) -> Runtime:
        if self._runtime is None:
            raise ContractError("this session is closed: open another one")
        if self._failed:
            raise RunError(
                f"an earlier call failed ({self._failed}), so the state may be half of "
                "a step: reset this session, or restore a checkpoint"
            )
        return self._runtime

    def _check_state(self, state: Arrays) -> None:
        for spec in self.manifest.state:
            if problem := spec.misfit(state[spec.name]):
                raise ContractError(f"the state to restore: {problem}")

    def _reload(self) -> None:
        """Takes a fresh runtime, in the shipped state."""
        if self._runtime is None:
            self._open()
        present, fresh = self._runtime, self._load()
        present.close()
        self._runtime, self._failed = fresh, ""

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

    def train(self, /, **inputs: Any) -> dict[str, np.ndarray]:
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
            self.position, self._stale = self.position + 1, True
            return metrics

    def infer(self, /, x: Any = None, **inputs: Any) -> np.ndarray:
        """Returns the outputs of any number of rows, [n, C].

        Args:
          x: [n, ...], the only input.
          **inputs: each of several inputs by its name, instead.
        """
        (found,) = self._by_rows(contract.INFER, inputs, x).values()
        return found

    def _by_rows(
        self, signature: str, inputs: Mapping[str, Any], x: Any
    ) -> dict[str, np.ndarray]:
        """Returns each output of a signature, whose rows are the inputs' own."""
        spec = self.manifest.signature(signature)
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
        return found

    def enroll(self, x: Any = None, y: Any = None, **inputs: Any) -> int:
        """Takes in labelled rows, by which `classify` tells others; any number.

        Args:
          x: [n, ...], the only feature.
          y: [n] classes, 0 or more.
          **inputs: each of several inputs by its name, instead of x.

        Returns:
          How many are enrolled now: of a class that has most, the oldest leave where
          there is no room.

        Raises:
          ContractError: the artifact does not enroll, or an input does not fit.
        """
        spec = self.manifest.signature(ENROLL)
        arrays = rows.together(spec, rows.named(spec, inputs, x, y))
        with self._turn:
            found = self._embed_anew() if not rows.length(arrays) else 0
            for part in rows.slices(arrays, spec.inputs[0].shape[0]):
                found = int(self._run_padded(spec, part)["enrolled"][0])
            self._stale = False
        return found

    def classify(self, x: Any = None, **inputs: Any) -> tuple[np.ndarray, np.ndarray]:
        """Returns (labels [n] int32, -1 where nothing is enrolled; similarities [n]).

        The first call after a training embeds the enrolled rows anew.

        Args:
          x: [n, ...], the only input.
          **inputs: each of several inputs by its name, instead.

        Raises:
          ContractError: the artifact does not classify, or an input does not fit.
        """
        self._refresh()
        found = self._by_rows(CLASSIFY, inputs, x)
        return found["label"], found["similarity"]

    def _refresh(self) -> None:
        """Embeds what is enrolled anew, where the encoder has learned since."""
        with self._turn:
            if REFRESH in self.manifest.signatures and self._stale:
                self._embed_anew()

    def _embed_anew(self) -> int:
        """Returns how many rows are enrolled."""
        self._stale = False
        found = self.run(REFRESH, unused=np.zeros(1, np.float32))
        return int(found["enrolled"][0])

    def evaluate(
        self, /, x: Any = None, y: Any = None, **inputs: Any
    ) -> dict[str, float]:
        """Returns "loss", "count" and what else the artifact counts, over any rows.

        Unlabelled and bad rows are left out. Each output is a sum or a mean over all
        rows, as its `total` says; of "correct" in `count` there is the "accuracy" too.

        Args:
          x: [n, ...], the only feature.
          y: labels, [n, ...].
          **inputs: each of several inputs by its name, instead of x; `weight`.
        """
        spec = self.manifest.signature(contract.EVALUATE)
        given = rows.named(spec, inputs, x, y)
        parts = rows.slices(rows.together(spec, given), spec.inputs[0].shape[0])
        self._refresh()
        found = totals.total(spec, (self._run_padded(spec, part) for part in parts))
        if "correct" in found:
            found["accuracy"] = found["correct"] / max(found["count"], 1)
        return found

    def _run_padded(self, spec: contract.Signature, inputs: Mapping[str, Any]):
        return self.run(spec.name, **rows.padded(spec, inputs))

    def configure(self, /, **values: float) -> dict[str, float]:
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
        unused = {"unused": np.zeros(1, np.float32)}
        with self._turn:
            everything = self._call(contract.SAVE, unused)
        return {
            spec.name: everything[spec.name]
            for spec in self.manifest.state
            if include_buffers or spec.role != "buffer"
        }

    def load_state(self, state: Arrays) -> int:
        """Takes a state as `state(include_buffers=True)` gives it; returns its step."""
        self._stale = True
        return int(self.run(contract.RESTORE, **state)["step"][0])

    def adopt(self, path: str | os.PathLike) -> Adopted:
        """Takes the weights of another artifact's checkpoint, where they fit.

        Args:
          path: of the checkpoint, or of its folder.

        Returns:
          What was taken and what was not; nothing but weights changes.

        Raises:
          CheckpointError: the file is damaged, no weight of it fits, or one is not
            finite; the state is as it was.
        """
        given = checkpoint.tensors(path)
        found = adopt(self.manifest.state, given)
        with self._turn:
            news = {name: given[name] for name in found.taken}
            self.load_state({**self.state(include_buffers=True), **news})
        return found

    def reset(self) -> None:
        """Returns to the shipped state, as a fresh session has it."""
        with self._turn:
            self._reload()
            self.position = 0

    def claim(self) -> None:
        """Makes `checkpoint_dir` this session's own to write to, until it is closed.

        Raises:
          BusyError: another process, or another session, has it; who is said.
        """
        with self._files:
            if self._claim is None:
                self._claim = Claim(self._folder())

    def save_checkpoint(self) -> pathlib.Path:
        """Writes the whole state to `checkpoint_dir`, claimed from now on.

        Returns:
          The file.

        Raises:
          BusyError: another process, or another session, writes there.
          CheckpointError: it cannot be written, or holds another artifact's checkpoint;
            what is there is as it was.
        """
        with self._files:
            self.claim()
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
