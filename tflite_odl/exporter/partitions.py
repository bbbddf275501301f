"""What XNNPACK takes of each signature, as the installed runtime decides.

The interpreter lists the DELEGATE nodes of its first subgraph only, so each subgraph
is looked at in a copy of the model where it comes first. A DELEGATE node names its
inputs and outputs, not its ops. But what XNNPACK keeps to itself gets no memory from
TFLite: an op is delegated exactly if its output has none, or is a DELEGATE's output.
Ops that share such a hidden tensor are in one partition. ASSIGN_VARIABLE has no
output; it is delegated if its value is hidden, or is an input that only it wants.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Collection

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from tflite_odl.exporter import flatbuffer

# Ops that compute nothing: a partition of these alone is not counted.
_BOOKKEEPING = frozenset(("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"))
_NEVER_DELEGATED = frozenset(("CALL_ONCE", "VAR_HANDLE"))


@dataclasses.dataclass(frozen=True)
class Delegation:
    """How a signature is shared out between XNNPACK and the plain kernels.

    Attributes:
      partitions: ops in each XNNPACK partition, the largest first.
      outside: {op: count} run by the plain kernels.
      breaks: ops that are not XNNPACK's and stand between two that are, by the data
        or by the order of variable ops, so that XNNPACK may have to stop, hand over
        and start again.
    """

    partitions: tuple[int, ...]
    outside: dict[str, int]
    breaks: dict[str, int]


def partitions(
    model: bytes, signatures: Collection[str] | None = None
) -> dict[str, Delegation]:
    """Returns what XNNPACK takes of each signature, branches of IF and WHILE included.

    Initial values (CALL_ONCE) are left out: they run once.

    Args:
      model: a .tflite file.
      signatures: names of those to look at, None for all.
    """
    tree = flatbuffer.read(model)
    graphs: dict[int, Delegation] = {}
    found = {}
    for name, entry in flatbuffer.signatures(tree).items():
        if signatures is not None and name not in signatures:
            continue
        used = _steady(tree, entry.subgraph)
        for index in used:
            if index not in graphs:
                graphs[index] = _delegation(tree, index)
        found[name] = _sum([graphs[index] for index in used])
    return found


def _steady(tree: schema.ModelT, subgraph: int) -> list[int]:
    order = [subgraph]
    for index in order:
        for op in tree.subgraphs[index].operators or ():
            if flatbuffer.op_name(tree, op) != "CALL_ONCE":
                order += [
                    called for called in flatbuffer.calls(op) if called not in order
                ]
    return order


def _sum(parts: list[Delegation]) -> Delegation:
    outside: collections.Counter = collections.Counter()
    breaks: collections.Counter = collections.Counter()
    for part in parts:
        outside.update(part.outside)
        breaks.update(part.breaks)
    sizes = sorted((n for part in parts for n in part.partitions), reverse=True)
    return Delegation(tuple(sizes), dict(outside), dict(breaks))


def _delegation(tree: schema.ModelT, subgraph: int) -> Delegation:
    graph = tree.subgraphs[subgraph]
    place = _places(tree, graph, *_runtime(tree, subgraph))
    names = [flatbuffer.op_name(tree, op) for op in graph.operators or ()]
    sizes = collections.Counter(
        partition for n, partition in place.items() if names[n] not in _BOOKKEEPING
    )
    outside = [n for n in range(len(names)) if n not in place]
    outside = [n for n in outside if names[n] not in _NEVER_DELEGATED]
    between = _between(tree, graph, place)
    return Delegation(
        tuple(sorted(sizes.values(), reverse=True)),
        dict(collections.Counter(names[n] for n in outside)),
        dict(collections.Counter(names[n] for n in sorted(between))),
    )


def _runtime(
    tree: schema.ModelT, subgraph: int
) -> tuple[list[tuple[set[int], set[int]]], set[int]]:
    """Returns the (inputs, outputs) of each DELEGATE node, and the hidden tensors."""
    interpreter = Interpreter(model_content=_first(tree, subgraph), num_threads=1)
    interpreter.allocate_tensors()
    delegates = [
        (set(map(int, node["inputs"])), set(map(int, node["outputs"])))
        for node in interpreter._get_ops_details()
        if node["op_name"] == "DELEGATE"
    ]
    tensors = tree.subgraphs[subgraph].tensors
    # Asking for a resource would crash the interpreter.
    values = (i for i, t in enumerate(tensors) if flatbuffer.dtype(t) != "resource")
    return delegates, {i for i in values if not _has_memory(interpreter, i)}


def _has_memory(interpreter: Interpreter, index: int) -> bool:
    try:
        interpreter.get_tensor(index)
    except ValueError:
        return False
    return True


def _first(tree: schema.ModelT, subgraph: int) -> bytes:
    """Returns the model with one subgraph in the first place."""
    _swap(tree, subgraph)
    model = flatbuffer.write(tree)
    _swap(tree, subgraph)
    return model


def _swap(tree: schema.ModelT, subgraph: int) -> None:
    """Exchanges a subgraph with the first, and every reference to them."""
    graphs, place = tree.subgraphs, {0: subgraph, subgraph: 0}
    graphs[0], graphs[subgraph] = graphs[subgraph], graphs[0]
    for signature in tree.signatureDefs or ():
        index = signature.subgraphIndex
        signature.subgraphIndex = place.get(index, index)
    for graph in graphs:
        for op in graph.operators or ():
            flatbuffer.redirect_calls(op, place)


def _places(
    tree: schema.ModelT,
    graph: schema.SubGraphT,
    delegates: list[tuple[set[int], set[int]]],
    hidden: set[int],
) -> dict[int, int]:
    """Returns {op: partition} of the delegated ops, VAR_HANDLE left out."""
    ops = graph.operators or ()
    inside = hidden.union(*(outputs for _, outputs in delegates))
    taken = [
        number
        for number, op in enumerate(ops)
        if flatbuffer.op_name(tree, op) not in _NEVER_DELEGATED
        and (_is_assign(tree, op) or inside.issuperset(flatbuffer.indices(op.outputs)))
    ]
    place: dict[int, int] = {}
    for group in sorted(_linked(ops, taken, hidden), key=len, reverse=True):
        reads = {i for n in group for i in flatbuffer.indices(ops[n].inputs)}
        writes = {i for n in group for i in flatbuffer.indices(ops[n].outputs)}
        if len(group) == 1 and _is_assign(tree, ops[group[0]]):
            value = int(ops[group[0]].inputs[1])
            partition = _assigns(ops, place, delegates, value)
        else:
            needs = reads - writes - hidden
            partition = _owner(tree, graph, delegates, needs, writes - hidden)
        if partition is not None:
            place.update(dict.fromkeys(group, partition))
    return place


def _assigns(ops, place, delegates, value: int) -> int | None:
    """Returns the partition that takes `value` in for no other op than an assign."""
    readers = {
        partition
        for number, partition in place.items()
        if value in flatbuffer.indices(ops[number].inputs)
    }
    for partition, (inputs, _) in enumerate(delegates):
        if value in inputs and partition not in readers:
            return partition
    return None


def _is_assign(tree: schema.ModelT, op: schema.OperatorT) -> bool:
    return flatbuffer.op_name(tree, op) == "ASSIGN_VARIABLE"


def _linked(ops, taken: list[int], hidden: set[int]) -> list[list[int]]:
    """Returns the groups of ops that hand each other hidden tensors."""
    group_of: dict[int, list[int]] = {}
    holder: dict[int, list[int]] = {}
    for number in taken:
        group = group_of[number] = [number]
        touched = [*flatbuffer.indices(ops[number].inputs)]
        touched += flatbuffer.indices(ops[number].outputs)
        for index in hidden.intersection(touched):
            other = holder.get(index, group)
            if other is not group:
                group, other = sorted((group, other), key=len, reverse=True)
                group += other
                for member in other:
                    group_of[member] = group
                for held in [i for i, found in holder.items() if found is other]:
                    holder[held] = group
            holder[index] = group
    return list({id(group): group for group in group_of.values()}.values())


def _owner(tree, graph, delegates, needs: set[int], writes: set[int]) -> int | None:
    """Returns the partition that takes in and hands out a group's visible tensors."""
    values = {i for i in needs if flatbuffer.dtype(graph.tensors[i]) != "resource"}
    fitting = [
        partition
        for partition, (inputs, outputs) in enumerate(delegates)
        if writes <= outputs and values - outputs <= inputs
    ]
    # A handle is an input, except where the partition holds the VAR_HANDLE itself.
    return max(fitting, key=lambda p: len(needs & delegates[p][0]), default=None)


def _between(
    tree: schema.ModelT, graph: schema.SubGraphT, place: dict[int, int]
) -> set[int]:
    """Returns the ops that follow, at any distance, some delegated op and precede some.

    The runtime keeps ops that touch variables, IF, WHILE and CALL_ONCE in their order,
    so each follows the one before as if it read from it.
    """
    ops = graph.operators or ()
    delegated = {*place, *_delegated_handles(tree, graph, place)}
    reads = [set(flatbuffer.indices(op.inputs)) for op in ops]
    writes = [set(flatbuffer.indices(op.outputs)) for op in ops]
    stateful = [n for n, op in enumerate(ops) if _is_stateful(tree, graph, op)]
    for link, (one, other) in enumerate(itertools.pairwise(stateful)):
        writes[one].add(-2 - link)
        reads[other].add(-2 - link)
    order = range(len(ops))
    below = _downstream(order, reads, writes, delegated)
    above = _downstream(reversed(order), writes, reads, delegated)
    return (below & above) - delegated


def _downstream(order, takes, gives, sources: set[int]) -> set[int]:
    reached: set[int] = set()
    found: set[int] = set()
    for number in order:
        if takes[number] & reached:
            found.add(number)
        if number in found or number in sources:
            reached |= gives[number]
    return found


def _is_stateful(tree: schema.ModelT, graph: schema.SubGraphT, op) -> bool:
    touched = flatbuffer.indices(op.inputs) + flatbuffer.indices(op.outputs)
    resource = any(flatbuffer.dtype(graph.tensors[i]) == "resource" for i in touched)
    return resource or flatbuffer.op_name(tree, op) in ("IF", "WHILE", "CALL_ONCE")


def _delegated_handles(tree, graph, place: dict[int, int]) -> set[int]:
    """The runtime gives a VAR_HANDLE to XNNPACK if the ops that use it are there."""
    used = {i for n in place for i in flatbuffer.indices(graph.operators[n].inputs)}
    return {
        number
        for number, op in enumerate(graph.operators or ())
        if flatbuffer.op_name(tree, op) == "VAR_HANDLE" and op.outputs[0] in used
    }
