"""The order in which a subgraph's ops run: what frees memory runs as soon as it can.

The converter leaves a topological order that puts, for instance, every weight's
gradient behind the last layer, so that both operands of each wait in memory; run at
once, they are also still in the cache. Where no op frees any, what reads the latest
result comes first: a chunk of the batch then goes through many layers before the next
one, and stays in the cache. The result is the same to the bit: each op reads the same
values, and ops that touch variables or call subgraphs keep their order.
"""

from __future__ import annotations

import collections
import itertools

from ai_edge_litert import schema_py_generated as schema

from tflite_odl.exporter import flatbuffer
from tflite_odl.exporter.memory import arena

# Ops that must not overtake one another.
_ORDERED = frozenset(
    "ASSIGN_VARIABLE CALL_ONCE IF READ_VARIABLE VAR_HANDLE WHILE".split()
)
_READS = frozenset(("READ_VARIABLE", "VAR_HANDLE"))
# Which of the ops that are ready comes next: the first in the order that was; or what
# frees most memory and, if none frees any, what has been ready for longest, or what
# reads the latest result.
RULES = ("given", "longest", "latest")
# The last one may take so much more memory than the second.
TOLERATED = 1.05


def schedule(tree: schema.ModelT) -> None:
    """Reorders the ops of every subgraph, but where the order that was needs less; even
    then, integer variables are read first."""
    for number, graph in enumerate(tree.subgraphs):
        ops = list(graph.operators or ())
        orders, needs = {}, {}
        for rule in RULES:
            found = _Schedule(tree, graph, ops).order(rule)
            graph.operators = orders[rule] = [ops[at] for at in found]
            needs[rule] = arena(tree, number)[0]
        best = "longest" if needs["longest"] <= needs["given"] else "given"
        if needs["latest"] <= min(needs["given"], needs["longest"] * TOLERATED):
            best = "latest"
        graph.operators = orders[best]


def _chain(tree, graph: schema.SubGraphT, ops: list, names: list[str]) -> list[int]:
    """Returns the ops that keep their order; of handles and reads in a row, those of
    float32 variables last. The runtime keeps that order, and XNNPACK takes float32
    only: another variable between them would split its partition.
    """
    floats = {
        int(op.inputs[0])
        for op, name in zip(ops, names)
        if name == "READ_VARIABLE"
        and flatbuffer.dtype(graph.tensors[op.outputs[0]]) == "float32"
    }

    def rank(at: int) -> tuple[bool, bool]:
        read = names[at] == "READ_VARIABLE"
        handle = ops[at].inputs[0] if read else ops[at].outputs[0]
        return int(handle) in floats, read

    chain = [at for at, name in enumerate(names) if name in _ORDERED]
    found: list[int] = []
    for reads, run in itertools.groupby(chain, lambda at: names[at] in _READS):
        found += sorted(run, key=rank if reads else None)
    return found


class _Schedule:
    """List scheduling: the ops that are ready, and what each does to memory."""

    def __init__(self, tree, graph: schema.SubGraphT, ops: list) -> None:
        self.inputs = [set(flatbuffer.indices(op.inputs)) for op in ops]
        outputs = [flatbuffer.indices(op.outputs) for op in ops]
        producer = {tensor: at for at, made in enumerate(outputs) for tensor in made}
        names = [flatbuffer.op_name(tree, op) for op in ops]
        self.owner = self._owners(ops, names)
        self.bytes = {
            tensor: flatbuffer.tensor_bytes(graph.tensors[tensor])
            for tensor in producer
            if self.owner.get(tensor, tensor) == tensor
        }
        self.made = [sum(self.bytes.get(t, 0) for t in made) for made in outputs]
        kept = set(map(self.own, flatbuffer.indices(graph.outputs)))
        self.readers = collections.defaultdict(set)
        self.after = collections.defaultdict(set)
        waits = [{producer[t] for t in read if t in producer} for read in self.inputs]
        chain = _chain(tree, graph, ops, names)
        for before, at in zip(chain, chain[1:]):
            waits[at].add(before)
        for at, needed in enumerate(waits):
            for before in needed:
                self.after[before].add(at)
            for tensor in {self.own(t) for t in self.inputs[at]}:
                if tensor in self.bytes and tensor not in kept:
                    self.readers[tensor].add(at)
        self.waiting = [len(needed) for needed in waits]

    def own(self, tensor: int) -> int:
        """Returns the tensor whose memory this one is a view of, itself as a rule."""
        return self.owner.get(tensor, tensor)

    def _owners(self, ops: list, names: list[str]) -> dict[int, int]:
        owner: dict[int, int] = {}
        for op, name in zip(ops, names):
            if name == "RESHAPE":
                source = int(op.inputs[0])
                owner[int(op.outputs[0])] = owner.get(source, source)
        return owner

    def cost(self, at: int) -> int:
        """Returns by how many bytes memory grows when an op runs now."""
        read = {self.own(t) for t in self.inputs[at]}
        freed = (self.bytes[t] for t in read if self.readers.get(t) == {at})
        return self.made[at] - sum(freed)

    def order(self, rule: str) -> list[int]:
        """Returns the order of the ops by one of RULES."""
        ready = {at: self.cost(at) for at, left in enumerate(self.waiting) if not left}
        found: list[int] = []
        age: dict[int, int] = collections.defaultdict(int)

        def rank(at: int) -> tuple[int, int]:
            if rule == "given":
                return 0, at
            return min(ready[at], 1), age[at]

        while ready:
            # Dicts keep their order: the first of equals has waited longest.
            best = min(ready, key=rank)
            del ready[best]
            found.append(best)
            if rule == "latest":
                age.update(dict.fromkeys(self.after[best], -len(found)))
            for tensor in {self.own(t) for t in self.inputs[best]}:
                left = self.readers.get(tensor, set())
                left.discard(best)
                if len(left) == 1 and (last := next(iter(left))) in ready:
                    ready[last] = self.cost(last)
            for at in self.after[best]:
                self.waiting[at] -= 1
                if not self.waiting[at]:
                    ready[at] = self.cost(at)
        return found
