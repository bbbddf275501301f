"""A recurrent layer, unrolled: what LSTM, GRU and SimpleRNN share.

A loop of the runtime's own (WHILE) would leave the XNNPACK partition with each step,
and keep nothing for the way back. So every step stands in the graph, and as little as
can be in it:

- what is made of the inputs alone is one product over all steps, before the loop;
- of the gates' slopes all is made at once, over all steps, before the loop back;
- gradients of weights and inputs are one product each over all steps, after it.

All steps together are [1, T B, n], step by step in the order of time, so that a step is
one contiguous SLICE, and no product needs a RESHAPE. A masked step leaves the state as
it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
    Tensors,
)
from tflite_odl.builtin.products import matmul
from tflite_odl.builtin.space import cut, joined
from tflite_odl.builtin.zeros import zeros

State = tuple[tf.Tensor, ...]


class Unrolled(Lowering):
    """A cell over all steps of x [B, T, D], and of a mask [B, T] if there is one.

    Attributes of a node: `units`; `sequences`, whether all outputs are given, else the
    last; `backwards`, whether time runs from the end; `aligned`, whether the outputs of
    a sequence are in the order of its inputs, else in that of the steps; and what the
    cell reads. Subclasses are the cells.

    Attributes:
      states: names of the tensors that a step hands on, each [1, B, units]; the first
        is the step's output.
    """

    name = "unrolled"
    states: tuple[str, ...] = ("h",)

    def project(self, site: Site, x: tf.Tensor) -> State:
        """Returns what steps read of the inputs [1, T B, D] alone, [1, T B, n] each."""
        raise NotImplementedError(type(self).__name__)

    def step(self, site: Site, given: State, state: State) -> State:
        """Returns the new state of one step: of its projections and the old state."""
        raise NotImplementedError(type(self).__name__)

    def slopes(self, site: Site, given: State, before: State) -> State:
        """Returns what the way back reads, [1, T B, n] each: of all steps at once.

        Args:
          site: of the layer.
          given: what `project` returned.
          before: the state before each step.
        """
        raise NotImplementedError(type(self).__name__)

    def step_back(
        self, site: Site, slopes: State, gradient: State
    ) -> tuple[State, State]:
        """Returns what `finish` needs of a step, and the old state's gradient.

        Args:
          site: of the layer.
          slopes: of this step.
          gradient: of the new state.
        """
        raise NotImplementedError(type(self).__name__)

    def finish(
        self, site: Site, x: tf.Tensor, before: State, slopes: State, kept: State
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Returns the gradients of the weights, and of what the kernel's product with x
        gave [1, T B, n], of all steps at once.

        Args:
          site: of the layer.
          x: the inputs [1, T B, D].
          before, slopes: as above.
          kept: what `step_back` gave of all steps.
        """
        raise NotImplementedError(type(self).__name__)

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        site, x = _flat(site), inputs[0]
        mask = inputs[1] if len(inputs) > 1 else None
        batch, steps = x.shape[:2]
        order, units = _order(site, steps), site.node.attributes["units"]
        given = _each_step(self.project(site, _by_time(x)), batch)
        state = tuple(zeros([1, batch, units]) for _ in self.states)
        found: dict[int, State] = {}
        for t in order:
            new = self.step(site, given[t], state)
            state = new if mask is None else _blend(_step(mask, t), new, state)
            found[t] = state
        kept = {
            f"{name}{t}": tf.reshape(tensor, [batch, units])
            for t, tensors in found.items()
            for name, tensor in zip(self.states, tensors, strict=True)
        }
        kept |= {"x": x} if mask is None else {"x": x, "mask": mask}
        outputs = [found[t][0] for t in order]
        if not site.node.attributes["sequences"]:
            return Output(tf.reshape(outputs[-1], [batch, units]), Residual(kept))
        if site.node.attributes["aligned"] and site.node.attributes["backwards"]:
            outputs.reverse()
        return Output(_by_batch(joined(outputs, 1), batch), Residual(kept))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        site, rows, a = _flat(site), residual.rows, site.node.attributes
        x, mask, dy = rows["x"], rows.get("mask"), gradient.dense()
        batch, steps = x.shape[:2]
        order, flat = _order(site, steps), _by_time(x)
        before = self._before(rows, order)
        slopes = self.slopes(site, self.project(site, flat), before)
        by_step = _each_step(slopes, batch)
        outer = self._outer(a, dy, order)
        state = tuple(zeros([1, batch, a["units"]]) for _ in self.states)
        kept: dict[int, State] = {}
        for t in reversed(order):
            if t in outer:
                state = (state[0] + outer[t], *state[1:])
            new, stays = state, None
            if mask is not None:
                new, stays = _parts(_step(mask, t), state)
            kept[t], state = self.step_back(site, by_step[t], new)
            if stays is not None:
                state = tuple(old + rest for old, rest in zip(state, stays))
        every = tuple(
            joined([kept[t][k] for t in range(steps)], 1) for k in range(len(kept[0]))
        )
        found, dxz = self.finish(site, flat, before, slopes, every)
        dx = None
        if site.wanted[0]:
            dx = product(dxz, site.weights["kernel"], transpose=True)
            dx = Gradient.of(_by_batch(dx, batch))
        if not site.node.trainable:
            found = {}
        found = {
            role: tf.reshape(value, self.shape(site, role))
            for role, value in found.items()
        }
        return Gradients([dx, *[None] * (len(site.node.inputs) - 1)], found)

    def shape(self, site: Site, role: str) -> tf.TensorShape:
        """Returns the shape of a weight, as the state has it."""
        flat = site.weights[role].shape
        return flat if role == "bias" else flat[1:]

    def _before(self, rows: Tensors, order: Sequence[int]) -> State:
        """Returns the states before each step, [1, T B, units] each."""
        batch, units = rows[f"{self.states[0]}{order[0]}"].shape
        earlier, shape = dict(zip(order[1:], order[:-1])), [1, batch, units]

        def one(name: str, t: int) -> tf.Tensor:
            if t not in earlier:
                return zeros(shape)
            return tf.reshape(rows[f"{name}{earlier[t]}"], shape)

        return tuple(
            joined([one(name, t) for t in sorted(order)], 1) for name in self.states
        )

    def _outer(self, a, dy: tf.Tensor, order: Sequence[int]) -> dict[int, tf.Tensor]:
        """Returns {step: gradient [1, B, units] of its output that comes from
        outside}."""
        batch = dy.shape[0]
        if not a["sequences"]:
            return {order[-1]: tf.reshape(dy, [1, batch, a["units"]])}
        places = sorted(order) if a["aligned"] else order
        parts = _each_step((_by_time(dy),), batch)
        return {t: part for t, (part,) in zip(places, parts, strict=True)}


def product(x: tf.Tensor, w: tf.Tensor, transpose: bool = False) -> tf.Tensor:
    """Returns x w, or x w^T, of [1, N, K] and a weight [1, K, M]."""
    return matmul(x, w, transpose_b=transpose)


def weight_product(x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """Returns x^T dy, [1, K, M] of [1, N, K] and [1, N, M]."""
    return matmul(x, dy, transpose_a=True)


def _flat(site: Site) -> Site:
    """Returns the site with matrices as [1, K, M], as products take them."""
    weights = {
        role: tf.convert_to_tensor(value) for role, value in site.weights.items()
    }
    weights = {
        role: value if role == "bias" else tf.reshape(value, [1, *value.shape])
        for role, value in weights.items()
    }
    return dataclasses.replace(site, weights=weights)


def _order(site: Site, steps: int) -> list[int]:
    """Returns the places in time in the order of the steps."""
    order = list(range(steps))
    return order[::-1] if site.node.attributes["backwards"] else order


def _by_time(x: tf.Tensor) -> tf.Tensor:
    """[B, T, D] -> [1, T B, D]"""
    batch, steps, size = x.shape
    return tf.reshape(tf.transpose(x, [1, 0, 2]), [1, steps * batch, size])


def _by_batch(x: tf.Tensor, batch: int) -> tf.Tensor:
    """[1, T B, D] -> [B, T, D]"""
    steps = x.shape[1] // batch
    return tf.transpose(tf.reshape(x, [steps, batch, x.shape[-1]]), [1, 0, 2])


def _each_step(tensors: State, batch: int) -> list[State]:
    """Returns [1, T B, n] each, step by step: [1, B, n]."""
    steps = tensors[0].shape[1] // batch
    return [
        tuple(cut(tensor, 1, t * batch, batch) for tensor in tensors)
        for t in range(steps)
    ]


def _step(mask: tf.Tensor, t: int) -> tf.Tensor:
    """Returns a mask [B, T] at one step, [1, B, 1]."""
    return tf.reshape(cut(mask, 1, t, 1), [1, mask.shape[0], 1])


def _blend(mask: tf.Tensor, new: State, old: State) -> State:
    """Returns the new state where the step counts, else the old one."""
    return tuple(b + (a - b) * mask for a, b in zip(new, old, strict=True))


def _parts(mask: tf.Tensor, gradient: State) -> tuple[State, State]:
    """Returns the gradient of the new state and of the old one, of a blend of both."""
    new = tuple(part * mask for part in gradient)
    return new, tuple(part - own for part, own in zip(gradient, new))
