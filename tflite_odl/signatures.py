"""A method -> a tf.Module whose functions are the contract's signatures."""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from tflite_odl import contract
from tflite_odl.contract import Signature, TensorSpec
from tflite_odl.methods.base import Entry, Method, Tensors

# Outputs of evaluate that add up over calls; the others are means.
SUMS = ("count", "correct")  # those of several outputs have their names behind
UNUSED = TensorSpec("unused", "float32", (1,), about="any value; Java needs an input")


class TrainableModule(tf.Module):
    """Holds the state as variables and reads and writes it around a method's functions.

    Every variable is read once per call. The new state is assigned inside an IF, so
    that a rejected step leaves every byte as it was, whatever the new values hold.

    Attributes:
      interface: {name: Signature}, the exact inputs and outputs.
      functions: {name: concrete function}.
    """

    def __init__(self, method: Method, batch_size: int, infer_batch_size: int = 1):
        super().__init__()
        self.method = method
        self.specs = {name: t.spec for name, t in method.state().items()}
        self.state = {
            name: tf.Variable(tensor.value, name=name, trainable=False)
            for name, tensor in method.state().items()
        }
        settings = [self.specs[name] for name in method.hyperparameters()]
        self.functions, self.interface = {}, {}
        for entry in method.entries(batch_size, infer_batch_size):
            self._define(entry.name, functools.partial(self._run, entry), entry.inputs)
        self._define(contract.CONFIGURE, self._configure, settings)
        self._define(contract.SAVE, self._save, (UNUSED,))
        self._define(contract.RESTORE, self._restore, list(self.specs.values()))

    def _define(self, name: str, function: Callable, inputs) -> None:
        """Traces one signature; its function takes the inputs by name."""
        specs = [tf.TensorSpec(s.shape, s.dtype, name=s.name) for s in inputs]

        def call(*tensors):
            return function({s.name: t for s, t in zip(inputs, tensors, strict=True)})

        traced = tf.function(call, input_signature=specs, autograph=False)
        traced = traced.get_concrete_function()
        self.functions[name] = traced
        outputs = traced.structured_outputs
        self.interface[name] = Signature(
            name,
            tuple(inputs),
            tuple(_spec(self.specs, name, n, t) for n, t in outputs.items()),
        )

    def _read(self) -> dict[str, tf.Tensor]:
        return {name: v.read_value() for name, v in self.state.items()}

    def _run(self, entry: Entry, inputs: Tensors) -> dict[str, tf.Tensor]:
        outcome = entry.run(self._read(), inputs)
        for change in outcome.changes:
            conditions = [c for c in (outcome.accepted, change.when) if c is not None]
            self._assign_if(functools.reduce(tf.logical_and, conditions), change.news)
        return outcome.outputs

    def _assign_if(self, condition: tf.Tensor, news: Tensors) -> None:
        tf.cond(
            tf.reshape(condition, []),
            lambda: self._assign(news),
            lambda: tf.constant(0),
        )

    def _assign(self, news: Tensors) -> tf.Tensor:
        for name, value in news.items():
            self.state[name].assign(value)
        return tf.constant(1)

    def _configure(self, inputs: Tensors) -> dict[str, tf.Tensor]:
        outputs = {}
        for name, value in inputs.items():
            spec, present = self.specs[name], self.state[name].read_value()
            # Comparisons with NaN are false.
            fits = tf.logical_and(value >= spec.low, value <= spec.high)
            outputs[name] = tf.where(fits, value, present)
            self.state[name].assign(outputs[name])
        return outputs

    def _save(self, inputs: Tensors) -> dict[str, tf.Tensor]:
        return self._read()

    def _restore(self, inputs: Tensors) -> dict[str, tf.Tensor]:
        self._assign(inputs)
        step = self.state["step"].read_value()
        return {"step": tf.reshape(step, [1])}


def _spec(
    state: dict[str, TensorSpec], signature: str, name: str, tensor: tf.Tensor
) -> TensorSpec:
    if name in state and tuple(tensor.shape) == state[name].shape:
        return state[name]
    total = ""
    if signature == contract.EVALUATE:
        total = "sum" if name.startswith(SUMS) else "mean"
    return TensorSpec(name, tensor.dtype.name, tuple(tensor.shape), total=total)
