"""LiteRT's two runtimes behind one small interface.

A runtime does what it is told: names, dtypes and shapes are checked before, by
`contract.Signature.check_inputs`. Every tensor is allocated once; a call copies the
inputs in, runs, and copies the outputs out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tflite_odl.contract import SAVE, Manifest
from tflite_odl.errors import ArtifactError, OdlError, RunError
from tflite_odl.host import interface

Arrays = Mapping[str, np.ndarray]
Call = Callable[[Arrays], dict[str, np.ndarray]]


class Runtime:
    """Runs the signatures of one model; its state lives as long as it does.

    Args:
      model: the flatbuffer.
      manifest: describes its signatures.
      threads: of the CPU kernels.

    Raises:
      ArtifactError: the model is damaged, or its signatures are not the manifest's;
        the runtime has not seen it then.
    """

    name = ""

    def __init__(self, model: bytes, manifest: Manifest, threads: int = 2) -> None:
        self.manifest = manifest
        interface.check(model, manifest)
        try:
            self._load(model, threads)
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(
                f"{self.name} cannot load the model: {error}"
            ) from error

    def _load(self, model: bytes, threads: int) -> None:
        raise NotImplementedError(type(self).__name__)

    def run(self, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
        """Returns the outputs of one call; they are the caller's own copies.

        Raises:
          RunError: the runtime failed, maybe with a part of the state written.
        """
        try:
            return self._run(signature, inputs)
        except OdlError:
            raise
        except (RuntimeError, ValueError, KeyError, MemoryError) as error:
            raise RunError(f"{self.name} failed in {signature!r}: {error}") from error

    def _run(self, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
        raise NotImplementedError(type(self).__name__)

    def save(self) -> dict[str, np.ndarray]:
        """Returns every tensor of the state."""
        return self.run(SAVE, {"unused": np.zeros(1, np.float32)})

    def close(self) -> None:
        """Frees the model; the runtime cannot be used again."""
        raise NotImplementedError(type(self).__name__)

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class InterpreterRuntime(Runtime):
    """tflite::Interpreter.

    The public SignatureRunner resizes and allocates at every call; shapes are fixed
    here, so each signature's subgraph is allocated once. Where LiteRT no longer has
    what that takes, the public runner serves.
    """

    name = "interpreter"
    kernels = OpResolverType.AUTO  # XNNPACK's, where it has them

    def _load(self, model: bytes, threads: int) -> None:
        # The interpreter reads the weights in place: the bytes must stay alive.
        self._model = model
        self._interpreter = Interpreter(
            model_content=model,
            num_threads=threads,
            experimental_op_resolver_type=self.kernels,
        )
        self._calls: dict[str, Call] = {}

    def _run(self, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
        call = self._calls.get(signature) or self._prepare(signature)
        return call(inputs)

    def _prepare(self, signature: str) -> Call:
        self.manifest.signature(signature)
        try:
            call = _lean_call(self._interpreter, signature)
        except AttributeError:
            runner = self._interpreter.get_signature_runner(signature)
            call = functools.partial(_public_call, runner)
        self._calls[signature] = call
        return call

    def close(self) -> None:
        self._calls, self._interpreter = {}, None


def _lean_call(interpreter: Interpreter, signature: str) -> Call:
    """Allocates a signature's subgraph and returns what runs it.

    Raises:
      AttributeError: this LiteRT's Interpreter has no such private parts.
    """
    wrapper = interpreter._interpreter
    tensors = interpreter._get_full_signature_list()[signature]
    places, outputs = tensors["inputs"], list(tensors["outputs"].items())
    subgraph = wrapper.GetSubgraphIndexFromSignature(signature)
    write, invoke, read = wrapper.SetTensor, wrapper.Invoke, wrapper.GetTensor
    wrapper.AllocateTensors(subgraph)

    def call(inputs: Arrays) -> dict[str, np.ndarray]:
        for name, value in inputs.items():
            write(places[name], value, subgraph)
        invoke(subgraph)
        return {name: read(index, subgraph) for name, index in outputs}

    return call


def _public_call(runner, inputs: Arrays) -> dict[str, np.ndarray]:
    return runner(**inputs)


class PlainRuntime(InterpreterRuntime):
    """tflite::Interpreter without XNNPACK: TFLite's own kernels, which are slow."""

    name = "plain"
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES


class CompiledRuntime(Runtime):
    """LiteRT's CompiledModel. Tensors go by name: it lists inputs in its own order."""

    name = "compiled"

    def _load(self, model: bytes, threads: int) -> None:
        # Not in every LiteRT that has an interpreter.
        try:
            from ai_edge_litert.compiled_model import CompiledModel
            from ai_edge_litert.hardware_accelerator import HardwareAccelerator
            from ai_edge_litert.options import CpuOptions, Options
        except ImportError as error:
            raise ArtifactError(f"this LiteRT has no CompiledModel: {error}") from error
        options = Options(
            hardware_accelerators=HardwareAccelerator.CPU,
            cpu_options=CpuOptions(num_threads=threads),
        )
        self._bytes = model
        self._model = CompiledModel.from_buffer(model, options=options)
        self._buffers: dict[str, tuple[dict, dict, list]] = {}

    def _run(self, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
        entry = self._buffers.get(signature) or self._allocate(signature)
        inside, outside, outputs = entry
        for name, value in inputs.items():
            inside[name].write(value)
        self._model.run_by_name(signature, inside, outside)
        return {
            name: outside[name].read(size, dtype).reshape(shape)
            for name, size, dtype, shape in outputs
        }

    def _allocate(self, signature: str) -> tuple[dict, dict, list]:
        spec, model = self.manifest.signature(signature), self._model
        inside = {
            name: model.create_input_buffer_by_name(signature, name)
            for name in spec.input_names
        }
        outside = {
            name: model.create_output_buffer_by_name(signature, name)
            for name in spec.output_names
        }
        outputs = [
            (s.name, int(np.prod(s.shape)), np.dtype(s.dtype), s.shape)
            for s in spec.outputs
        ]
        self._buffers[signature] = (inside, outside, outputs)
        return self._buffers[signature]

    def close(self) -> None:
        self._buffers = {}
        self._model.close()


# What apps use, and what proves itself on every artifact.
RUNTIMES: dict[str, Any] = {
    kind.name: kind for kind in (InterpreterRuntime, CompiledRuntime)
}
