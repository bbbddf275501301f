"""Reads, shrinks and labels a `.tflite` file.

A view of the file as the objects of the TFLite schema, with the few questions the
exporter asks of it: which subgraph serves a signature, which subgraphs an op calls,
what the bytes consist of; and `compact` and `embed`, which write a new file that
behaves the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite_odl import contract, signing
from tflite_odl.errors import ArtifactError
from tflite_odl.exporter.sharing import SharingBuilder
from tflite_odl.host import embedded
from tflite_odl.signing import Key

_OPS = {code: name for name, code in vars(schema.BuiltinOperator).items()}
_TYPES = {code: name.lower() for name, code in vars(schema.TensorType).items()}
_CALLS = (
    "thenSubgraphIndex",
    "elseSubgraphIndex",
    "condSubgraphIndex",
    "bodySubgraphIndex",
    "initSubgraphIndex",
    "decompositionSubgraphIndex",
    "subgraph",
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where a signature lives: its subgraph, and its tensors by public name."""

    name: str
    subgraph: int
    inputs: dict[str, int]
    outputs: dict[str, int]


def read(model: bytes | schema.ModelT) -> schema.ModelT:
    """Returns the model as schema objects; one that is read already, as it is.

    Weights that lie behind the tables, as some converters write them, are brought in.

    Raises:
      ArtifactError: not a TFLite file, or a damaged one.
    """
    if isinstance(model, schema.ModelT):
        return model
    if bytes(model[4:8]) != embedded.IDENTIFIER:
        raise ArtifactError(
            f"not a .tflite model: bytes 4 - 8 are {bytes(model[4:8])!r}, "
            f"expected {embedded.IDENTIFIER!r}"
        )
    try:
        tree = schema.ModelT.InitFromPackedBuf(model, 0)
    except (struct.error, IndexError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"the .tflite model of {len(model)} bytes is cut or altered: {error}"
        ) from error
    for buffer in tree.buffers:
        _bring_in(buffer, model)
    return tree


def _bring_in(buffer: schema.BufferT, model: bytes) -> None:
    """Gives a buffer the data that its offset from the file's begin names."""
    if buffer.offset <= 1:  # 0 and 1 are the schema's words for "not outside"
        return
    end = buffer.offset + buffer.size
    if end > len(model):
        raise ArtifactError(
            f"the .tflite model of {len(model)} bytes is cut: a buffer lies at "
            f"{buffer.offset} to {end}"
        )
    buffer.data = np.frombuffer(model, np.uint8, buffer.size, buffer.offset)
    buffer.offset = buffer.size = 0


def write(tree: schema.ModelT) -> bytes:
    """Returns the file of a model, equal parts stored once."""
    builder = SharingBuilder(1 << 16)
    builder.Finish(tree.Pack(builder), embedded.IDENTIFIER)
    return bytes(builder.Output())


def op_name(tree: schema.ModelT, op: schema.OperatorT) -> str:
    """Returns `ADD`, or the custom op's own name, `FlexConv2D`."""
    code = tree.operatorCodes[op.opcodeIndex]
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
    if builtin == schema.BuiltinOperator.CUSTOM:
        return text(code.customCode)
    return _OPS[builtin]


def is_custom(tree: schema.ModelT, op: schema.OperatorT) -> bool:
    """Whether an op needs code that the stock runtime does not have."""
    code = tree.operatorCodes[op.opcodeIndex]
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
    return builtin == schema.BuiltinOperator.CUSTOM


def dtype(tensor: schema.TensorT) -> str:
    """Returns the tensor's type in NumPy's spelling, `float32`, or `resource`."""
    return _TYPES[tensor.type]


def tensor_bytes(tensor: schema.TensorT) -> int:
    """Size of the tensor's data; 0 for resources and strings."""
    name = dtype(tensor)
    if name in ("resource", "string", "variant"):
        return 0
    shape = () if tensor.shape is None else tensor.shape
    elements = int(np.prod(shape, dtype=np.int64))
    if name == "int4":
        return (elements + 1) // 2
    return elements * np.dtype(name).itemsize


def is_constant(tree: schema.ModelT, tensor: schema.TensorT) -> bool:
    """Whether the file holds the tensor's data."""
    return tree.buffers[tensor.buffer].data is not None


def signatures(tree: schema.ModelT) -> dict[str, Entry]:
    """Returns the signatures by name."""
    return {
        text(found.signatureKey): Entry(
            text(found.signatureKey),
            int(found.subgraphIndex),
            {text(m.name): int(m.tensorIndex) for m in found.inputs or ()},
            {text(m.name): int(m.tensorIndex) for m in found.outputs or ()},
        )
        for found in tree.signatureDefs or ()
    }


def calls(op: schema.OperatorT) -> tuple[int, ...]:
    """Returns the subgraphs an op runs: the branches of IF, the body of WHILE, ..."""
    options = (op.builtinOptions, op.builtinOptions2)
    found = [getattr(o, name, -1) for o in options for name in _CALLS]
    return tuple(int(index) for index in found if index >= 0)


def redirect_calls(op: schema.OperatorT, place: dict[int, int]) -> None:
    """Makes an op call subgraph `place[i]` where it called `i`."""
    for options in (op.builtinOptions, op.builtinOptions2):
        for name in _CALLS:
            if (index := getattr(options, name, -1)) in place:
                setattr(options, name, place[index])


def reachable(tree: schema.ModelT, subgraph: int) -> list[int]:
    """Returns a subgraph and all it calls, each once, in the order met."""
    order = [subgraph]
    for index in order:
        for op in tree.subgraphs[index].operators or ():
            order += [called for called in calls(op) if called not in order]
    return order


def indices(vector: np.ndarray | None) -> list[int]:
    """Returns an op's tensor indices; -1 stands for an optional tensor left out."""
    return [] if vector is None else [int(index) for index in vector]


def embed(model: bytes, manifest: str, sign: Key | None = None) -> bytes:
    """Returns the model with a manifest inside, replacing one already there, sealed.

    `host.embedded` says how it is stored, and what seal and signature are.

    Args:
      model: without an embedded manifest, or with an older one.
      manifest: JSON.
      sign: an Ed25519 private key, a PEM file or 32 bytes; None signs nothing.

    Raises:
      ArtifactError: there is no such key.
    """
    plain = manifest.encode()
    content = min(zlib.compress(plain, 9), plain, key=len)
    content += bytes(embedded.SEAL_BYTES)
    model = with_note(model, contract.METADATA_NAME.encode(), content)
    return _sealed(model if sign is None else _signed(model, sign))


def with_note(model: bytes, name: bytes, content: bytes) -> bytes:
    """Returns the model with an entry of metadata, replacing one of that name."""
    tree = read(model)
    tree.metadata = [m for m in tree.metadata or () if m.name != name]
    buffer = schema.BufferT(data=np.frombuffer(content, np.uint8))
    tree.metadata.append(schema.MetadataT(name=name, buffer=len(tree.buffers)))
    tree.buffers.append(buffer)
    share_buffers(tree)
    return write(tree)


def _signed(model: bytes, sign: Key) -> bytes:
    # Unlike any weight, for equal buffers are stored once.
    empty = hashlib.sha512(contract.SIGNATURE_NAME.encode()).digest()
    model = with_note(model, contract.SIGNATURE_NAME.encode(), empty)
    where = embedded.place(model, contract.SIGNATURE_NAME)
    digest, _ = embedded.signed_digest(model)
    signature = signing.sign(sign, signing.MODEL, digest)
    return model[: where.start] + signature + model[where.stop :]


def _sealed(model: bytes) -> bytes:
    where = embedded.place(model)
    start = where.stop - embedded.SEAL_BYTES
    return model[:start] + embedded.seal(model, where) + model[where.stop :]


def share_buffers(tree: schema.ModelT) -> None:
    """Keeps each used content once; buffer 0 is the empty one, by convention."""
    kept: list[schema.BufferT] = [schema.BufferT()]
    places: dict[bytes, int] = {}
    moved: dict[int, int] = {}

    def move(old: int) -> int:
        if old not in moved:
            moved[old] = 0
            if (data := tree.buffers[old].data) is not None:
                moved[old] = places.setdefault(bytes(data), len(kept))
                kept.extend(tree.buffers[old : old + 1] * (moved[old] == len(kept)))
        return moved[old]

    for holder in (*tensors(tree), *(tree.metadata or ())):
        holder.buffer = move(holder.buffer)
    tree.metadataBuffer = None
    tree.buffers = kept


def sizes(model: bytes, tree: schema.ModelT | None = None) -> dict[str, int]:
    """Returns {"state", "constants", "graph", "metadata", "total"} in bytes.

    `tree` is the same model, if it is read already.

    state: initial values of the variables; constants: every other tensor with data;
    metadata: the manifest and other notes; graph: ops, tensors and tables. A buffer
    that serves as initial value and as constant counts as state.
    """
    tree = read(model if tree is None else tree)
    state = set(_initial_buffers(tree))
    notes = {m.buffer for m in tree.metadata or ()} - state
    parts = {"state": 0, "constants": 0, "graph": len(model), "metadata": 0}
    for index, buffer in enumerate(tree.buffers):
        part = "state" if index in state else "constants"
        part = "metadata" if index in notes else part
        size = 0 if buffer.data is None else len(buffer.data)
        parts[part] += size
        parts["graph"] -= size
    return {**parts, "total": len(model)}


def text(value: bytes | str | None) -> str:
    """Returns a name of the schema, which reads them as bytes, as a string."""
    return value.decode() if isinstance(value, bytes) else value or ""


def tensors(tree: schema.ModelT) -> Iterator[schema.TensorT]:
    for subgraph in tree.subgraphs:
        yield from subgraph.tensors


def _initial_buffers(tree: schema.ModelT) -> Iterator[int]:
    """Yields the buffers that CALL_ONCE bodies assign to variables."""
    bodies = {
        index
        for subgraph in tree.subgraphs
        for op in subgraph.operators or ()
        if op_name(tree, op) == "CALL_ONCE"
        for index in calls(op)
    }
    for index in sorted(bodies):
        subgraph = tree.subgraphs[index]
        for op in subgraph.operators or ():
            if op_name(tree, op) == "ASSIGN_VARIABLE":
                tensor = subgraph.tensors[op.inputs[1]]
                if is_constant(tree, tensor):
                    yield tensor.buffer
