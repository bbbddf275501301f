"""The supervised step in plain Keras: what an artifact is compared with.

Nothing here is shared with the lowerings: Keras' own layers, loss, optimizers and
automatic gradients, in float32 or float64, on just the rows that count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl import contract
from tflite_odl.builtin.losses import label_name
from tflite_odl.builtin.optimizers import SUM, slot_name
from tflite_odl.methods.supervised import Supervised
from tflite_odl.proof.proof import Answer, Arrays, Reference
from tflite_odl.proof.references.augment import augmented
from tflite_odl.proof.references.backbone import Tail
from tflite_odl.proof.references.losses import of_method
from tflite_odl.proof.references.noise import DrawnNoise
from tflite_odl.proof.references.optimizers import (
    KERAS_OPTIMIZERS,
    KERAS_SLOTS,
    clipped,
    rate,
)
from tflite_odl.proof.references.seen import seen
from tflite_odl.reading import rebuild
from tflite_odl.reading.copies import float32_copy, float64_copy
from tflite_odl.reading.graph import variables
from tflite_odl.reading.penalties import regularized

# Of a constrained weight, float32 steps that are rounding: a sum of squares and its
# root, epsilon, a quotient and a product, and the two terms of a rate.
ULPS = 4
# Of a loss, relative where above 1: a choice between two classes may differ where their
# logits are closer than this.
NEARLY_EQUAL = 1e-5


_ONE: Mapping[str, str] = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Batch:
    """The inputs of train or evaluate.

    Attributes:
      x: {input name: rows}, the features.
      y: labels as the loss takes them; of several outputs a structured array, with a
        field for each.
      count: [1] int32.
      weight: [B] float32 of each row, if the method takes it.
    """

    x: dict[str, np.ndarray]
    y: np.ndarray
    count: np.ndarray
    weight: np.ndarray | None = None

    @classmethod
    def of(cls, inputs: Arrays, labels: Mapping[str, str] = _ONE) -> Batch:
        """Returns a batch.

        Args:
          inputs: of the signature.
          labels: {input name: output name} of several outputs' labels.
        """
        others = {"count", "weight", *(n for n in inputs if n == "y" or n in labels)}
        x = {n: v for n, v in inputs.items() if n not in others}
        y = inputs["y"] if not labels else _structured(inputs, labels)
        return cls(x, y, inputs["count"], inputs.get("weight"))

    def rows(self, chosen: np.ndarray) -> Batch:
        """Returns the chosen rows alone, each with its weight."""
        x = {name: value[chosen] for name, value in self.x.items()}
        weight = np.ones(len(self.y)) if self.weight is None else self.weight
        return Batch(x, self.y[chosen], self.count, weight[chosen])


class KerasReference(Reference):
    """`finetune` by Keras.

    Args:
      method: the method whose model, optimizer and options are followed.
      dtype: "float32" or "float64".
    """

    def __init__(self, method: Supervised, dtype: str) -> None:
        self.method, self.config, self.dtype = method, method.config, dtype
        self.graph = method.network.graph
        copy = float64_copy if dtype == "float64" else float32_copy
        self.model = copy(method.network.model)
        self.tail = Tail(method.network, self.model)
        self.loss = self.make_loss()
        self.labels = labels_of(method)
        self.variables = self.adapted()
        self.learning = [self.variables[name] for name in self.trained]
        moving = {id(self.variables[name]) for name in self.graph.moving}
        self._count_learning()
        self.drawn = DrawnNoise(self.model, self.graph)
        self.ulps = dict.fromkeys(self.graph.constraints, ULPS)
        for layer in _batch_norms(self.model):
            layer.trainable = id(layer.moving_mean) in moving

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of what gradients move, in the order of `learning`."""
        return self.graph.trainable

    def _count_learning(self) -> None:
        """Switches off what Keras 3 penalizes only while it learns."""
        learning = {id(variable) for variable in self.learning}
        for path, layer in rebuild.all_layers(self.model):
            for term in regularized(layer, path):
                if term.of_learning:
                    term.regularizer.counts = id(term.variable) in learning

    def make_loss(self):
        """Returns the loss in Keras; methods that have another one need none here."""
        return of_method(self.method)

    def adapted(self) -> dict[str, tf.Variable]:
        """Returns {weight name: variable}, once the copy of the model computes what the
        method's network does."""
        return variables(self.model)

    def call(self, signature: str, state: Arrays, inputs: Arrays) -> Answer:
        if signature == contract.INFER:
            return Answer(self._predictions(state, inputs), state)
        if signature == contract.EVALUATE:
            return self._evaluate(state, Batch.of(inputs, self.labels))
        return self._step(state, Batch.of(inputs, self.labels))

    def _step(self, state: Arrays, batch: Batch) -> Answer:
        self._load(state)
        good = self.good(batch)
        x = self.seen(state, batch, good)
        self.drawn.set(state["random"], good)
        with tf.GradientTape() as tape:
            tape.watch(self.learning)
            loss = self._loss(self._run(x, training=True), batch.rows(good))
            loss += self.penalties()
        rejected = int(batch.count[0] - good.sum())
        gradients = dense(tape.gradient(loss, self.learning))
        followed = seen(self.method.network, state, x, good)
        return self.stepped(state, float(loss), rejected, gradients, followed)

    def stepped(
        self,
        state: Arrays,
        loss: float,
        rejected: int,
        gradients: list,
        news: Arrays | None = None,
    ) -> Answer:
        """Returns the answer of a training step, once its gradients are known, and
        what else of the state is new."""
        done = int(state["step"][0])
        of_batch = gradients
        sums, gradients = self._gather(state, gradients, done)
        outputs = {
            "loss": loss,
            "gradient_norm": float(tf.linalg.global_norm(gradients)),
            "step": done + 1,
            "accepted": 1,
            "rejected_rows": rejected,
        }
        optimizer = self._optimizer(state, done // self.config.accumulate)
        made_from = self._made_from(gradients, of_batch)
        if (done + 1) % self.config.accumulate == 0:
            self.apply(optimizer, clipped(state, gradients))
        after = {**self._new_state(state, optimizer), **sums, **(news or {})}
        return Answer(as_arrays(outputs), after, gradients=made_from, ulps=self.ulps)

    def _predictions(self, state: Arrays, x: Arrays) -> Arrays:
        """Returns what infer returns from Keras' inference mode."""
        self._load(state)
        return self.loss.predictions(self._run(self._preprocess(x), training=False))

    def _evaluate(self, state: Arrays, batch: Batch) -> Answer:
        """Returns loss and metrics of the labelled rows."""
        self._load(state)
        batch = batch.rows(self.good(batch) & self.loss.labelled_rows(batch.y))
        output = self._run(self._preprocess(batch.x), training=False)
        loss = float(self._loss(output, batch) + self.penalties())
        nearly = NEARLY_EQUAL * max(1.0, abs(loss))
        found = self.loss.metrics_of_rows(output, batch.y, nearly)
        return Answer(
            as_arrays({"loss": loss, **found.values}), state, slack=found.slack
        )

    def penalties(self) -> tf.Tensor:
        """Returns what Keras adds to the loss of the last run."""
        none = tf.zeros([], self.dtype)
        return tf.add_n([none, *(tf.cast(x, self.dtype) for x in self.model.losses)])

    def apply(self, optimizer: tf_keras.optimizers.Optimizer, gradients: list) -> None:
        """Makes an update; Keras' optimizer applies the constraints behind it."""
        before = tf_keras.backend.floatx()
        tf_keras.backend.set_floatx(self.dtype)  # NonNeg multiplies by this dtype
        try:
            optimizer.apply_gradients(zip(gradients, self.learning, strict=True))
        finally:
            tf_keras.backend.set_floatx(before)

    def good(self, batch: Batch) -> np.ndarray:
        """Returns [B] bool: the rows that count."""
        good = (np.arange(len(batch.y)) < batch.count[0]) & self.loss.valid(batch.y)
        limit = self.config.feature_limit
        with np.errstate(invalid="ignore"):
            parts = zip(self.method.features, self._preprocess(batch.x), strict=True)
            for part, x in parts:
                (low, high), flat = part.bounds(limit), x.reshape(len(x), -1)
                good &= ((flat >= low) & (flat <= high)).all(1)
        if batch.weight is not None:
            good &= np.isfinite(batch.weight) & (batch.weight >= 0)
        return good

    def _load(self, state: Arrays) -> None:
        for name, variable in self.variables.items():
            value = state.get(name, self.graph.weights.get(name))
            if value is not None:
                variable.assign(np.asarray(value, self.dtype))

    def _run(self, x: list[np.ndarray], training: bool) -> tf.Tensor:
        return self.tail(x, training)

    def _preprocess(self, x: Arrays) -> list[np.ndarray]:
        # Pixels may lie just between two steps of an int8 backbone's range: which of
        # them they become hangs on float32's own rounding.
        dtype = self.dtype if self.method.network.backbone is None else "float32"
        found = []
        for part in self.method.features:
            settings = part.preprocessing
            scale = np.asarray(settings.scale, np.float32).astype(dtype)
            offset = np.asarray(settings.offset, np.float32).astype(dtype)
            scaled = x[part.name].astype(dtype) * scale + offset
            found.append(scaled.astype(self.dtype))
        return found

    def seen(self, state: Arrays, batch: Batch, good: np.ndarray) -> list[np.ndarray]:
        """Returns what is learned from the good rows: augmented, with noise."""
        raw = dict(batch.rows(good).x)
        for name, view in self.method.views.items():
            shape = (len(batch.y), *raw[name].shape[1:])
            draws = view.draw(tf.constant(state["random"]), shape)
            chosen = {draw: value.numpy()[good] for draw, value in draws.items()}
            raw[name] = augmented(raw[name], chosen, view.family, self.dtype)
        x = self._preprocess(raw)
        if not self.config.noise:
            return x
        noise = self._noise(state, len(batch.y))
        return [one + more[good] for one, more in zip(x, noise, strict=True)]

    def _noise(self, state: Arrays, rows: int) -> list[np.ndarray]:
        """Noise by the graph's own generator, which has a test of its own."""
        draw, amplitude = tf.constant(state["random"]), np.float32(self.config.noise)
        salts = self.method.salts
        return [
            (feature.noise(draw, rows, salts).numpy() * amplitude).astype(self.dtype)
            for feature in self.method.features
        ]

    def _loss(self, output: tf.Tensor, batch: Batch) -> tf.Tensor:
        loss = self.loss.of_rows(output, batch.y, batch.weight)
        if len(self.method.endings) > 1:
            return loss
        return loss * next(iter(self.config.loss_weights.values()), 1.0)

    def _gather(self, state: Arrays, gradients: list, done: int):
        """Returns (new sums by slot name, mean gradients of the group so far)."""
        every = self.config.accumulate
        if every == 1:
            return {}, gradients
        names = [slot_name(name, SUM) for name in self.trained]
        if done % every:
            before = [state[name].astype(self.dtype) for name in names]
            gradients = [b + g for b, g in zip(before, gradients, strict=True)]
        sums = {n: np.asarray(g) for n, g in zip(names, gradients, strict=True)}
        return sums, [gradient / (done % every + 1) for gradient in gradients]

    def _made_from(self, gradients: list, of_batch: list) -> Arrays:
        """Returns {state tensor: gradient}, of weights, their slots and their sums."""
        names = self.trained
        found = {n: np.asarray(g) for n, g in zip(names, gradients, strict=True)}
        slots = {
            slot_name(name, slot): found[name]
            for slot in KERAS_SLOTS[self.config.optimizer]
            for name in names
        }
        sums = {
            slot_name(name, SUM): np.asarray(gradient)
            for name, gradient in zip(names, of_batch, strict=True)
        }
        return {**found, **slots, **(sums if self.config.accumulate > 1 else {})}

    def _optimizer(self, state: Arrays, done: int) -> tf_keras.optimizers.Optimizer:
        """Returns Keras' optimizer with hyper-parameters and slots from the state."""
        settings = {
            name: float(state[name][0])
            for name in self.method.learner.optimizer.hyperparameters()
        }
        settings["learning_rate"] = rate(self.config.schedule.kind, state, done)
        optimizer = KERAS_OPTIMIZERS[self.config.optimizer](**settings)
        optimizer.build(self.learning)
        optimizer.iterations.assign(done)
        for name, variable in self._slots(optimizer).items():
            variable.assign(state[name].astype(self.dtype))
        return optimizer

    def _slots(self, optimizer: tf_keras.optimizers.Optimizer) -> dict:
        """Returns {slot name: Keras' variable}."""
        return {
            slot_name(name, slot): variable
            for slot, attribute in KERAS_SLOTS[self.config.optimizer].items()
            for name, variable in zip(
                self.trained,
                getattr(optimizer, attribute),
                strict=True,
            )
        }

    def _new_state(self, state: Arrays, optimizer) -> dict[str, np.ndarray]:
        moved = dict.fromkeys((*self.graph.stateful, *self.trained))
        news = {name: self.variables[name].numpy() for name in moved}
        news |= {name: slot.numpy() for name, slot in self._slots(optimizer).items()}
        counter = np.array([0, 1], np.int32)
        news |= {"step": state["step"] + 1, "random": state["random"] + counter}
        return {**state, **news}


def dense(gradients: list) -> list[tf.Tensor]:
    """Returns the gradients as tensors: of a table Keras has the touched rows alone."""
    return [tf.convert_to_tensor(gradient) for gradient in gradients]


def labels_of(method: Supervised) -> dict[str, str]:
    """Returns {input: output name} of the labels, nothing where there is one output."""
    outputs = getattr(method, "endings", ())
    return {label_name(output): output for output in outputs if len(outputs) > 1}


def _structured(inputs: Arrays, labels: Mapping[str, str]) -> np.ndarray:
    """Returns the labels as one array of rows, with a field for each output."""
    fields = [(out, inputs[n].dtype, inputs[n].shape[1:]) for n, out in labels.items()]
    y = np.zeros(len(next(iter(inputs.values()))), fields)
    for name, output in labels.items():
        y[output] = inputs[name]
    return y


def as_arrays(values: dict) -> dict[str, np.ndarray]:
    """Returns numbers as [1] arrays."""
    return {name: np.reshape(value, [1]) for name, value in values.items()}


def _batch_norms(model: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, tf_keras.layers.BatchNormalization)
    ]
