"""One training step in the Keras that saved a file, and in an artifact made of it."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tflite_odl.host.session import Session
from tflite_odl.reading import rebuild
from tflite_odl.reading.graph import variables
from tools.coverage.designs import Design

# The gate's own: 1e-5, or 4 times what Keras' float32 is off, never above a quarter.
TOLERANCE, MULTIPLE, LIMIT = 1e-5, 4.0, 0.25
# How often Keras steps again, each time on rows in another order, inputs and weights
# moved by their last bit, to see how far its own rounding goes.
AGAIN = 3
# Share of entries that Keras is not sure of, from which on a tensor's update is noise:
# an Adam makes whole steps of the rounding of a bias before a batch norm. By chance
# three such steps agree in some entries; of other tensors some in a thousand differ.
NOISE = 0.1


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows as Keras takes them: inputs in the model's order, and labels."""

    x: Sequence[np.ndarray]
    y: np.ndarray

    def shaken(self, seed: int) -> Batch:
        """Returns the same rows in another order, floats moved by their last bit."""
        random = np.random.default_rng(seed)
        order = random.permutation(len(self.y))
        return Batch([_moved(x[order], random) for x in self.x], self.y[order])


def _moved(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    if x.dtype != np.float32:
        return x
    towards = random.choice(np.array([-np.inf, np.inf], np.float32), x.shape)
    return np.nextafter(x, towards)


def batch(design: Design, model: Any, seed: int = 1) -> Batch:
    """Returns random rows for a Keras model."""
    random = np.random.default_rng(seed)
    x = []
    for tensor in rebuild.graph(model).inputs:
        shape = (design.batch, *tensor.shape[1:])
        high = design.high.get(tensor.name, design.high.get("", 0))
        real = random.normal(0, design.scale, shape)
        rows = random.integers(0, high, shape) if high else real
        x.append(rows.astype("int32" if high else "float32"))
    shape = (design.batch, *model.outputs[0].shape[1:])
    if design.labels == 0:
        return Batch(x, random.normal(size=shape).astype("float32"))
    if design.labels == 1:
        return Batch(x, random.integers(0, 2, shape).astype("float32"))
    classes = random.integers(0, design.labels, shape[:-1])
    if design.one_hot:
        return Batch(x, np.eye(design.labels, dtype="float32")[classes])
    return Batch(x, classes.astype("int32"))


@dataclasses.dataclass(frozen=True)
class Step:
    """What a step did: its loss, and {(layer, place): value} before and after it."""

    loss: float
    before: Mapping[tuple[str, int], np.ndarray]
    after: Mapping[tuple[str, int], np.ndarray]

    def moved(self, place: tuple[str, int]) -> np.ndarray:
        return self.after[place] - self.before[place]


class KerasModel:
    """A file in its own Keras, compiled as it was saved, each step from the same start.

    Args:
      api: `keras` or `tf_keras`.
      path: of the file.
    """

    def __init__(self, api: Any, path: pathlib.Path) -> None:
        self.model = api.models.load_model(path)
        optimizer = self.model.optimizer
        if hasattr(api, "ops"):
            _densify(optimizer)
        optimizer.build(self.model.trainable_variables)
        self.variables = [*self.model.variables, *_listed(optimizer.variables)]
        self.start = [np.array(variable) for variable in self.variables]

    def step(self, rows: Batch, seed: int | None = None) -> Step:
        """Returns a step from the state in the file, its optimizer fresh.

        Args:
          rows: to learn.
          seed: of how these and the weights are shaken; None: they are not.
        """
        for variable, value in zip(self.variables, self.start, strict=True):
            variable.assign(value)
        if seed is not None:
            rows, random = rows.shaken(seed), np.random.default_rng(seed)
            for weight in self.model.trainable_variables:
                weight.assign(_moved(np.array(weight), random))
        self.model.reset_metrics()
        before = _weights(self.model)
        x = list(rows.x) if len(rows.x) > 1 else rows.x[0]
        found = self.model.train_on_batch(x, rows.y)
        return Step(float(np.ravel(found)[0]), before, _weights(self.model))


def _listed(variables: Any) -> list[Any]:
    return list(variables() if callable(variables) else variables)


def _densify(optimizer: Any) -> None:
    """Lets a Keras 3 optimizer take the gradients of tables as whole tensors: of an id
    that comes several times it would square each gradient, not their sum."""
    apply = optimizer.apply

    def dense(gradients: Sequence[Any], *variables: Any) -> Any:
        return apply([tf.convert_to_tensor(g) for g in gradients], *variables)

    optimizer.apply = dense


def in_artifact(method: Any, folder: pathlib.Path, rows: Batch) -> Step:
    """Returns a step of an artifact, its weights by their places in the model."""
    model = method.network.model
    known = {id(v): name for name, v in variables(model).items()}
    places = {
        (path, place): known[id(variable)]
        for path, layer in rebuild.all_layers(model)
        for place, variable in enumerate(layer.weights)
        if id(variable) in known
    }
    x = {f.name: value for f, value in zip(method.features, rows.x, strict=True)}
    with Session(folder) as session:
        before = session.state()
        label = next(
            spec
            for spec in session.manifest.signature("train").inputs
            if spec.role == "label"
        )
        found = session.train(**x, **{label.name: _label(rows.y, label)})
        after = session.state()
    kept = {place: name for place, name in places.items() if name in before}
    return Step(
        float(found["loss"][0]),
        {place: before[name] for place, name in kept.items()},
        {place: after[name] for place, name in kept.items()},
    )


def compare(api: Any, path: pathlib.Path, method: Any, folder: pathlib.Path, rows):
    """Returns {"error", "limit", "loss_error", "left_out", "noise"}; equal within the
    limits if `error` is not above `limit`.

    An entry counts where Keras agrees with itself: not those whose update changes by a
    quarter of the tensor's largest when the rows are shaken. `left_out` is the largest
    share of the others in a tensor that counts, `noise` names tensors that do not.
    """
    theirs = KerasModel(api, path)
    want, have = theirs.step(rows), in_artifact(method, folder, rows)
    again = [theirs.step(rows, seed) for seed in range(AGAIN)]
    errors, own, left_out, nothing_but_noise = [0.0], [0.0], [0.0], []
    for place, start in want.before.items():
        moved = want.moved(place)
        size = float(np.abs(moved).max(initial=0.0))
        # Either side rounds the weight that it writes.
        ulp = 2 * np.spacing(np.abs(start) + np.abs(moved))
        if size <= 2 * float(ulp.max(initial=0.0)):
            continue  # nothing but rounding, as the state of a random generator
        if place not in have.before:
            raise ValueError(f"{place} moves in Keras, not in the artifact")
        others = [step.moved(place) - moved for step in again]
        noise = np.max([np.abs(off) for off in others], axis=0)
        sure = noise <= LIMIT * size
        if sure.mean() < 1.0 - NOISE:
            nothing_but_noise.append("/".join(map(str, place)))
            continue
        left_out.append(1.0 - float(sure.mean()))
        off = np.abs(have.after[place].reshape(start.shape) - want.after[place])
        errors.append(float(np.max(sure * np.maximum(off - ulp, 0))) / size)
        own.append(float(np.max(sure * np.maximum(noise - ulp, 0))) / size)
    return {
        "error": max(errors),
        "limit": min(LIMIT, max(TOLERANCE, MULTIPLE * max(own))),
        "loss_error": abs(want.loss - have.loss) / max(abs(want.loss), 1e-6),
        "left_out": max(left_out),
        "noise": nothing_but_noise,
    }


def _weights(model: Any) -> dict[tuple[str, int], np.ndarray]:
    return {
        (path, place): np.array(variable)
        for path, layer in rebuild.all_layers(model)
        for place, variable in enumerate(getattr(layer, "weights", ()))
    }


def _label(y: np.ndarray, spec: Any) -> np.ndarray:
    """Returns Keras' labels as the artifact takes them: classes for one-hot rows."""
    if spec.dtype == "int32" and y.ndim > len(spec.shape):
        y = y.argmax(-1)
    return y.reshape(spec.shape).astype(spec.dtype)
