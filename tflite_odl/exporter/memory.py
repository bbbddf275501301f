"""The memory each signature needs while it runs, read from the flatbuffer.

What is modelled
- Variables live outside the arena from the first call on, all of them whichever
  signature runs: the CALL_ONCE body creates every one.
- Constants are mapped from the file (initial values too: CALL_ONCE reads them), and
  XNNPACK keeps a second, packed copy of the constant operand of a convolution or
  matrix product.
- Activations share an arena, planned as the runtime plans it (`arena.py`): a tensor
  lives from its producer to its last use; a tensor with one consumer is overwritten by
  an elementwise op, a softmax or a reshape of its size. The subgraph is planned as one
  partition in op order. In truth the tensors that cross a partition's border lie in
  TFLite's arena and the others in XNNPACK's workspace, one for all partitions.
- READ_VARIABLE of float32 costs nothing: the delegate reads the variable in place.
- Temporary: the packed right operand of a BATCH_MATMUL whose operands are both
  computed, the transposed left one where `adj_x` is set (XNNPACK has no such product),
  and the larger branch of an IF, whose arena is released after each run.

- Runtime: what LiteRT and XNNPACK keep of each op (its objects, its table of pointers
  into the image), by a straight line through eight training artifacts with 1,100 to
  7,000 ops, two threads, x86-64. The totals were then within 6 % of the growth of
  resident memory from creating the interpreter to the second step.

What is not: scratch of kernels outside XNNPACK, and the caller's copies of inputs and
outputs.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

from ai_edge_litert import schema_py_generated as schema

from tflite_odl import contract
from tflite_odl.exporter import flatbuffer
from tflite_odl.exporter.arena import Lifetime, aligned, arena_bytes

PARTS = (
    "weights",
    "slots",
    "state",
    "constants",
    "activations",
    "temporary",
    "runtime",
)
RUNTIME_BYTES, RUNTIME_BYTES_PER_OP = 3_000_000, 5_000
_PART_OF_ROLE = {"weight": "weights", "slot": "slots"}
# Ops whose output may take the place of an input that nobody else reads.
_IN_PLACE_OPS = """
    ABS ADD CEIL COS DIV ELU EXP EXPAND_DIMS FLOOR GELU HARD_SWISH LEAKY_RELU LOG
    LOGISTIC MAXIMUM MINIMUM MUL NEG RELU RELU6 RELU_N1_TO_1 RESHAPE ROUND RSQRT SIN
    SOFTMAX SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE SUB TANH
"""
_IN_PLACE = frozenset(_IN_PLACE_OPS.split())
# Ops whose constant operand XNNPACK packs, and which operand that is.
_PACKED = {
    "CONV_2D": 1,
    "DEPTHWISE_CONV_2D": 1,
    "FULLY_CONNECTED": 1,
    "TRANSPOSE_CONV": 1,
    "BATCH_MATMUL": 1,
}


def memory(
    model: bytes | schema.ModelT, state: Sequence[contract.TensorSpec]
) -> dict[str, dict[str, int]]:
    """Returns {signature: {part: bytes}}, at the peak.

    Args:
      model: a .tflite file, names not needed.
      state: what the `save` signature returns; its roles tell weights from slots, and
        a variable that `save` does not return counts as `state`.

    Returns:
      For each signature the `PARTS` and their sum, `total`.
    """
    tree = flatbuffer.read(model)
    entries = flatbuffer.signatures(tree)
    variables = _by_part(tree, entries.get(contract.SAVE), state)
    found = {}
    for name, entry in entries.items():
        plain, peak = arena(tree, entry.subgraph)
        run = flatbuffer.reachable(tree, entry.subgraph)
        ops = sum(len(tree.subgraphs[index].operators or ()) for index in run)
        parts = {
            **variables,
            "constants": _constants(tree, entry.subgraph),
            "activations": plain,
            "temporary": peak - plain,
            "runtime": RUNTIME_BYTES + RUNTIME_BYTES_PER_OP * ops,
        }
        found[name] = {**parts, "total": sum(parts.values())}
    return found


def variable_sizes(tree: schema.ModelT) -> dict[str, int]:
    """Returns the bytes of each variable by its shared name."""
    sizes: dict[str, int] = {}
    for graph in tree.subgraphs:
        handles = dict(_handles(tree, graph))
        for op in graph.operators or ():
            name = flatbuffer.op_name(tree, op)
            if name in ("READ_VARIABLE", "ASSIGN_VARIABLE") and op.inputs[0] in handles:
                read = name == "READ_VARIABLE"
                value = graph.tensors[op.outputs[0] if read else op.inputs[1]]
                variable = handles[op.inputs[0]]
                size = flatbuffer.tensor_bytes(value)
                sizes[variable] = max(size, sizes.get(variable, 0))
    return sizes


def _handles(tree: schema.ModelT, graph: schema.SubGraphT) -> Iterator[tuple[int, str]]:
    for op in graph.operators or ():
        if flatbuffer.op_name(tree, op) == "VAR_HANDLE":
            options = op.builtinOptions
            container = flatbuffer.text(options.container)
            name = flatbuffer.text(options.sharedName)
            yield int(op.outputs[0]), f"{container}/{name}"


def _by_part(
    tree: schema.ModelT,
    save: flatbuffer.Entry | None,
    state: Sequence[contract.TensorSpec],
) -> dict[str, int]:
    roles = {spec.name: spec.role for spec in state}
    part_of = {}
    for name, index in (save.outputs if save else {}).items():
        variable = _source(tree, tree.subgraphs[save.subgraph], index)
        part_of[variable] = _PART_OF_ROLE.get(roles.get(name, ""), "state")
    parts = dict.fromkeys(("weights", "slots", "state"), 0)
    for variable, size in variable_sizes(tree).items():
        parts[part_of.get(variable, "state")] += size
    return parts


def _source(tree: schema.ModelT, graph: schema.SubGraphT, index: int) -> str | None:
    """Returns the variable that a tensor of `save` was read from, if it was."""
    producer = {
        output: op
        for op in graph.operators or ()
        for output in flatbuffer.indices(op.outputs)
    }
    handles = dict(_handles(tree, graph))
    while index in producer and index not in handles:
        inputs = flatbuffer.indices(producer[index].inputs)
        if not inputs:
            return None
        index = inputs[0]
    return handles.get(index)


def _constants(tree: schema.ModelT, subgraph: int) -> int:
    """Bytes of the constants a signature reads, packed copies included."""
    mapped, packed = set(), set()
    for index in flatbuffer.reachable(tree, subgraph):
        graph = tree.subgraphs[index]
        mapped |= {tensor.buffer for tensor in graph.tensors}
        for op in graph.operators or ():
            operand = _PACKED.get(flatbuffer.op_name(tree, op))
            if operand is not None:
                packed.add(graph.tensors[op.inputs[operand]].buffer)
    buffers = [*mapped, *packed]
    data = (tree.buffers[buffer].data for buffer in buffers)
    return sum(len(content) for content in data if content is not None)


def arena(tree: schema.ModelT, subgraph: int, called: bool = False) -> tuple[int, int]:
    """Returns the arena without and with temporaries.

    The inputs and outputs of a called subgraph are its caller's tensors.
    """
    graph = tree.subgraphs[subgraph]
    lives = _lifetimes(tree, graph)
    if called:
        border = {*flatbuffer.indices(graph.inputs), *flatbuffer.indices(graph.outputs)}
        lives = {index: life for index, life in lives.items() if index not in border}
    tensors = list(lives.values())
    with_temporary = tensors + list(_temporaries(tree, graph))
    plain = arena_bytes(tensors)
    # Greedy placement may, by luck, need less with more tensors.
    return plain, max(plain, arena_bytes(with_temporary))


def _lifetimes(tree: schema.ModelT, graph: schema.SubGraphT) -> dict[int, Lifetime]:
    """Returns the tensors that own memory, with the lifetimes of those they lend to."""
    ops = graph.operators or ()
    uses = collections.Counter(i for op in ops for i in flatbuffer.indices(op.inputs))
    border = {*flatbuffer.indices(graph.inputs), *flatbuffer.indices(graph.outputs)}
    first = dict.fromkeys(flatbuffer.indices(graph.inputs), 0)
    last = dict.fromkeys(flatbuffer.indices(graph.outputs), len(ops))
    for number, op in enumerate(ops):
        last.update(
            {i: max(number, last.get(i, 0)) for i in flatbuffer.indices(op.inputs)}
        )
        if not _free_read(tree, graph, op):
            for index in flatbuffer.indices(op.outputs):
                first[index] = number
    size = {i: aligned(flatbuffer.tensor_bytes(graph.tensors[i])) for i in first}
    owner = {index: index for index in first}
    end = {index: last.get(index, first[index]) for index in first}
    for op in ops:
        if flatbuffer.op_name(tree, op) in _IN_PLACE:
            output = int(op.outputs[0])
            for index in flatbuffer.indices(op.inputs):
                lends = (
                    index in first and uses[index] == 1 and size[index] == size[output]
                )
                if lends and not {index, output} & border:
                    owner[output] = owner[index]
                    end[owner[index]] = max(end[owner[index]], end[output])
                    break
    return {
        index: Lifetime(size[index], first[index], end[index])
        for index in first
        if owner[index] == index and size[index]
    }


def _free_read(tree: schema.ModelT, graph: schema.SubGraphT, op) -> bool:
    if flatbuffer.op_name(tree, op) != "READ_VARIABLE":
        return False
    return flatbuffer.dtype(graph.tensors[op.outputs[0]]) == "float32"


def _temporaries(tree: schema.ModelT, graph: schema.SubGraphT) -> Iterator[Lifetime]:
    for number, op in enumerate(graph.operators or ()):
        name = flatbuffer.op_name(tree, op)
        if name == "BATCH_MATMUL":
            for operand in (0, 1) if op.builtinOptions.adjX else (1,):
                tensor = graph.tensors[op.inputs[operand]]
                if not flatbuffer.is_constant(tree, tensor):
                    size = aligned(flatbuffer.tensor_bytes(tensor))
                    yield Lifetime(size, number, number)
        elif name in ("IF", "WHILE"):
            branches = [arena(tree, i, called=True)[1] for i in flatbuffer.calls(op)]
            # A WHILE keeps its condition and its body at once, an IF runs one branch.
            size = max(branches) if name == "IF" else sum(branches)
            yield Lifetime(size, number, number)
