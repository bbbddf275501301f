"""A recurrent layer, unrolled: what LSTM, GRU and SimpleRNN share.

A loop of the runtime's own (WHILE) would leave the XNNPACK partition with each step,
and keep nothing for the way back. So every step stands in the graph, and as little as
can be in it:

- what is made of the inputs alone is one product over all steps, before the loop;
- of the gates' slopes all is made at once, over all steps, before the loop back;
- gradients of weights and inputs are one product each over all steps, after it.

All steps together are [T B, ...] in the order of time, step by step, so that a step is
one contiguous SLICE. A masked step leaves the state as it is.
"""

from __future__ import annotations

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
      states: names of the tensors that a step hands on, each [B, units]; the first is
        the step's output.
    """

    name = "unrolled"
    states: tuple[str, ...] = ("h",)

    def project(self, site: Site, x: tf.Tensor) -> State:
        """Returns what steps read of the inputs [T B, D] alone, [T B, n] each."""
        raise NotImplementedError(type(self).__name__)

    def step(self, site: Site, given: State, state: State) -> State:
        """Returns the new state of one step: of its projections and the old state."""
        raise NotImplementedError(type(self).__name__)

    def slopes(self, site: Site, given: State, before: State) -> State:
        """Returns what the way back reads, [T B, n] each: of all steps at once.

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
        gave [T B, n], of all steps at once.

        Args:
          site: of the layer.
          x: the inputs [T B, D].
          before, slopes: as above.
          kept: what `step_back` gave of all steps.
        """
        raise NotImplementedError(type(self).__name__)

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        x, mask = inputs[0], inputs[1] if len(inputs) > 1 else None
        batch, steps = x.shape[:2]
        given = self.project(site, _by_time(x))
        state = tuple(
            zeros([batch, site.node.attributes["units"]]) for _ in self.states
        )
        found: dict[int, State] = {}
        for t in _order(site, steps):
            new = self.step(site, _at(given, t, batch), state)
            state = new if mask is None else _blend(_step(mask, t), new, state)
            found[t] = state
        kept = {
            f"{name}{t}": tensor
            for t, tensors in found.items()
            for name, tensor in zip(self.states, tensors, strict=True)
        }
        kept |= {"x": x} if mask is None else {"x": x, "mask": mask}
        outputs = [found[t][0] for t in _order(site, steps)]
        if not site.node.attributes["sequences"]:
            return Output(outputs[-1], Residual(kept))
        if site.node.attributes["aligned"] and site.node.attributes["backwards"]:
            outputs.reverse()
        return Output(_by_batch(joined(outputs, 0), batch), Residual(kept))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        rows, a = residual.rows, site.node.attributes
        x, mask, dy = rows["x"], rows.get("mask"), gradient.dense()
        batch, steps = x.shape[:2]
        order, flat = _order(site, steps), _by_time(x)
        before = self._before(rows, order, batch)
        given = self.project(site, flat)
        slopes = self.slopes(site, given, before)
        outer = self._outer(a, dy, order)
        state = tuple(zeros([batch, a["units"]]) for _ in self.states)
        kept: dict[int, State] = {}
        for t in reversed(order):
            if t in outer:
                state = (state[0] + outer[t], *state[1:])
            new, stays = state, None
            if mask is not None:
                new, stays = _parts(_step(mask, t), state)
            kept[t], state = self.step_back(site, _at(slopes, t, batch), new)
            if stays is not None:
                state = tuple(old + rest for old, rest in zip(state, stays))
        every = tuple(
            joined([kept[t][k] for t in range(steps)], 0) for k in range(len(kept[0]))
        )
        found, dxz = self.finish(site, flat, before, slopes, every)
        dx = None
        if site.wanted[0]:
            dx = product(dxz, site.weights["kernel"], transpose=True)
            dx = Gradient.of(_by_batch(dx, batch))
        if not site.node.trainable:
            found = {}
        return Gradients([dx, *[None] * (len(site.node.inputs) - 1)], found)

    def _before(self, rows: Tensors, order: Sequence[int], batch: int) -> State:
        """Returns the states before each step, [T B, units] each."""
        units = rows[f"{self.states[0]}{order[0]}"].shape[-1]
        earlier = dict(zip(order[1:], order[:-1]))
        return tuple(
            joined(
                [
                    rows[f"{name}{earlier[t]}"]
                    if t in earlier
                    else zeros([batch, units])
                    for t in sorted(order)
                ],
                0,
            )
            for name in self.states
        )

    def _outer(self, a, dy: tf.Tensor, order: Sequence[int]) -> dict[int, tf.Tensor]:
        """Returns {step: gradient [B, units] of its output that comes from outside}."""
        if not a["sequences"]:
            return {order[-1]: dy}
        batch, every = dy.shape[0], _by_time(dy)
        places = sorted(order) if a["aligned"] else order
        return {
            t: cut(every, 0, place * batch, batch) for place, t in enumerate(places)
        }


def product(x: tf.Tensor, w: tf.Tensor, transpose: bool = False) -> tf.Tensor:
    """Returns x w, or x w^T, of [N, K] and a weight."""
    w = tf.convert_to_tensor(w)
    y = matmul(
        tf.reshape(x, [1, *x.shape]), tf.reshape(w, [1, *w.shape]), False, transpose
    )
    return tf.reshape(y, y.shape[1:])


def weight_product(x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """Returns x^T dy of [N, K] and [N, M]."""
    y = matmul(tf.reshape(x, [1, *x.shape]), tf.reshape(dy, [1, *dy.shape]), True)
    return tf.reshape(y, y.shape[1:])


def _order(site: Site, steps: int) -> list[int]:
    """Returns the places in time in the order of the steps."""
    order = list(range(steps))
    return order[::-1] if site.node.attributes["backwards"] else order


def _by_time(x: tf.Tensor) -> tf.Tensor:
    """[B, T, D] -> [T B, D]"""
    batch, steps, size = x.shape
    return tf.reshape(tf.transpose(x, [1, 0, 2]), [steps * batch, size])


def _by_batch(x: tf.Tensor, batch: int) -> tf.Tensor:
    """[T B, D] -> [B, T, D]"""
    steps = x.shape[0] // batch
    return tf.transpose(tf.reshape(x, [steps, batch, x.shape[-1]]), [1, 0, 2])


def _at(tensors: State, t: int, batch: int) -> State:
    return tuple(cut(tensor, 0, t * batch, batch) for tensor in tensors)


def _step(mask: tf.Tensor, t: int) -> tf.Tensor:
    return cut(mask, 1, t, 1)


def _blend(mask: tf.Tensor, new: State, old: State) -> State:
    """Returns the new state where the step counts, else the old one."""
    return tuple(b + (a - b) * mask for a, b in zip(new, old, strict=True))


def _parts(mask: tf.Tensor, gradient: State) -> tuple[State, State]:
    """Returns the gradient of the new state and of the old one, of a blend of both."""
    new = tuple(part * mask for part in gradient)
    return new, tuple(part - own for part, own in zip(gradient, new))
