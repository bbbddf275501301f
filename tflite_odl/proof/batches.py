"""The batches a supervised artifact is proven with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tflite_odl.contract import UNLABELLED
from tflite_odl.errors import ContractError
from tflite_odl.proof.proof import PADDED, SPOILED, Arrays, Trial
from tflite_odl.proof.references.losses import KERAS_LOSSES

Sample = tuple[np.ndarray | Mapping[str, np.ndarray], np.ndarray]
Batch = dict[str, np.ndarray]


class Batches:
    """Draws batches for a supervised method.

    Args:
      method: gives the inputs and what labels are.
      sample: (x [N, ...] or {input name: [N, ...]}, y [N, ...]) to draw rows from; else
        random ones.

    Raises:
      ContractError: the sample does not fit the train signature.
    """

    def __init__(self, method, sample: Sample | None = None) -> None:
        self.method = method
        self.bad_label = KERAS_LOSSES[method.config.loss].bad_label
        self.sample = sample and checked(method, sample)

    def draw(
        self, trial: Trial, number: int, batch_size: int, attempt: int, seed: int
    ) -> Batch:
        """Returns a batch of a trial's filling; see `Proof.draw`.

        Args:
          trial: which batch it needs.
          number: of the trial among all. Class labels go on from trial to trial, so
            that as many classes come as there are rows in all of them.
          batch_size: rows of the batch.
          attempt: which of the trial's batches.
          seed: of all draws.
        """
        of_trial = np.random.default_rng([seed, number])
        of_attempt = np.random.default_rng([seed, number, attempt])
        specs = {spec.name: spec for spec in self.method.inputs(batch_size)}
        wanted = np.arange(number * batch_size, (number + 1) * batch_size)
        if self.sample:
            batch = self._from_sample(wanted, of_attempt, seed)
        else:
            parts = self.method.features
            batch = {p.name: random_rows(p, of_attempt, batch_size) for p in parts}
            batch["y"] = self._labels(specs["y"], wanted, of_trial, seed)
        if "weight" in specs:
            weight = of_trial.uniform(0.5, 2.0, batch_size)
            batch["weight"] = weight.astype(np.float32)
        batch["count"] = np.array([batch_size], np.int32)
        least = self.method.least_rows
        if trial.filling == PADDED and batch_size > least:
            real = max(batch_size - max(1, batch_size // 4), least)
            batch["count"][0] = real
            for name in batch.keys() - {"y", "count"}:
                batch[name][real:] = 0
        if trial.filling == SPOILED:
            self._spoil(batch, trial.spoil)
        if trial.labelled is not None:
            batch["y"][trial.labelled :] = unlabelled(batch["y"])
        return batch

    def spoils(self, batch_size: int) -> int:
        """Returns how many batches it takes until every kind of bad row has come."""
        fitting = batch_size - self.method.least_rows
        return -(-len(self._bad_rows()) // fitting) if fitting > 0 else 0

    def _spoil(self, batch: Batch, part: int) -> None:
        """Makes rows unlabelled and bad, each in another way, from the last one on; the
        first row stays good, or as many as a step needs."""
        rows, least = len(batch["y"]), self.method.least_rows
        kinds = self._bad_rows()[part * (rows - least) :]
        for place, spoil in zip(range(rows - 1, least - 1, -1), kinds):
            spoil(batch, place)

    def _bad_rows(self) -> list[Callable[[Batch, int], None]]:
        def no_label(batch: Batch, row: int) -> None:
            batch["y"][row] = unlabelled(batch["y"])

        def bad_label(batch: Batch, row: int) -> None:
            batch["y"][row] = self.bad_label

        def negative_weight(batch: Batch, row: int) -> None:
            batch["weight"][row] = -1

        def put(name: str, number: int) -> Callable[[Batch, int], None]:
            def spoil(batch: Batch, row: int) -> None:
                batch[name][row].flat[-1] = number

            return spoil

        limit = self.method.config.feature_limit
        floats = [
            spoil
            for feature in self.method.features
            if feature.preprocessing.dtype == "float32"
            for spoil in (not_a_number(feature.name), too_far(feature, limit))
        ]
        places = [
            put(feature.name, number)
            for feature in self.method.features
            if feature.below is not None and feature.preprocessing.dtype != "uint8"
            for number in (-1, feature.below)
        ]
        weights = [negative_weight] if self.method.config.sample_weights else []
        return [no_label, bad_label, *floats, *places, *weights]

    def _labels(self, spec, wanted: np.ndarray, rng, seed: int) -> np.ndarray:
        """Returns class numbers in turn, or 0 and 1, which are targets of a regression
        as well."""
        if spec.dtype == "int32":
            classes = np.random.default_rng(seed).permutation(self.method.num_classes)
            return classes[wanted % len(classes)].astype(np.int32)
        return rng.integers(0, 2, spec.shape).astype(np.float32)

    def _from_sample(self, wanted: np.ndarray, rng, seed: int) -> Batch:
        """Returns rows of the sample, of all its classes in turn, none twice while
        there are others: equal rows would tie where a method ranks them."""
        y = self.sample["y"]
        waiting = [int(row) for row in rng.permutation(len(y))]
        classes = None
        if y.dtype == np.int32:
            classes = np.random.default_rng(seed).permutation(np.unique(y))
        chosen = []
        for number in wanted:
            waiting = waiting or [int(row) for row in rng.permutation(len(y))]
            row = waiting[0]
            if classes is not None:
                label = classes[number % len(classes)]
                row = next((at for at in waiting if y[at] == label), row)
            waiting.remove(row)
            chosen.append(row)
        return {name: value[chosen] for name, value in self.sample.items()}


def not_a_number(name: str) -> Callable[[Batch, int], None]:
    """Returns what makes a row of a feature bad."""

    def spoil(batch: Batch, row: int) -> None:
        batch[name][row].flat[0] = np.nan

    return spoil


def too_far(feature, limit: float) -> Callable[[Batch, int], None]:
    """Returns what puts a row of a feature beyond the limit."""

    def spoil(batch: Batch, row: int) -> None:
        settings = feature.preprocessing
        raw = (2 * limit - np.asarray(settings.offset)) / np.asarray(settings.scale)
        batch[feature.name][row].flat[-1] = raw.flat[-1]

    return spoil


def unlabelled(y: np.ndarray) -> np.generic:
    """Returns what marks a row of such labels as unlabelled."""
    return y.dtype.type(UNLABELLED if y.dtype.kind == "i" else np.nan)


def taken(method, batch: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> Batch:
    """Returns a signature's inputs from a batch of as many rows, or of others: then
    the rows whose features are within the method's limit, in turn."""
    rows = len(batch["y"])
    limit, fitting = method.config.feature_limit, np.ones(rows, bool)
    for feature in method.features:
        settings = feature.preprocessing
        x = batch[feature.name] * np.asarray(settings.scale) + settings.offset
        (low, high), flat = feature.bounds(limit), x.reshape(rows, -1)
        with np.errstate(invalid="ignore"):
            fitting &= ((flat >= low) & (flat <= high)).all(1)
    whole = all(batch[name].shape == shape for name, shape in shapes.items())
    if whole and "y" in shapes:
        return {name: batch[name] for name in shapes}
    good = np.flatnonzero(fitting)
    return {
        name: batch[name][np.resize(good, shape[0])] for name, shape in shapes.items()
    }


def checked(method, sample: Sample) -> Batch:
    """Returns the sample by input name, its class labels as int32."""
    x, y = sample
    parts = dict(x) if isinstance(x, Mapping) else {method.features[0].name: x}
    given = {name: np.asarray(value) for name, value in {**parts, "y": y}.items()}
    specs = {s.name: s for s in method.inputs(1) if s.name not in ("count", "weight")}
    if given["y"].dtype.kind in "iu":
        given["y"] = given["y"].astype(specs["y"].dtype)
    fits = given.keys() == specs.keys() and all(
        given[name].shape[1:] == spec.shape[1:] and given[name].dtype == spec.dtype
        for name, spec in specs.items()
    )
    if not fits or len({len(value) for value in given.values()}) > 1:
        wanted = [f"{n} {list(s.shape[1:])} {s.dtype}" for n, s in specs.items()]
        found = [f"{n} {list(v.shape)} {v.dtype}" for n, v in given.items()]
        raise ContractError(
            f"the sample needs N rows of {', '.join(wanted)}, got {', '.join(found)}"
        )
    return given


def random_rows(part, rng: np.random.Generator, rows: int) -> np.ndarray:
    """Returns so many rows of a feature, about unit range after preprocessing."""
    shape, settings = (rows, *part.shape), part.preprocessing
    if part.whole:
        return _whole(part, rng, shape)
    if settings.dtype == "uint8":
        return rng.integers(0, 256, shape).astype(np.uint8)
    x = (rng.normal(size=shape) - settings.offset) / settings.scale
    return x.astype(np.float32)


def _whole(part, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Returns whole numbers, of a model that only takes flags 0 and 1; some rows end in
    zeros, which a model may mask, but none begins with one."""
    below = 2 if part.below is None else part.below
    if part.preprocessing.dtype == "uint8":
        below = min(below, 256)
    x = rng.integers(min(1, below - 1), below, shape)
    if part.below is None:
        x = rng.integers(0, 2, shape)
    elif len(shape) > 1 and shape[1] > 1:
        lengths = rng.integers(1, shape[1] + 1, (shape[0], *[1] * (len(shape) - 1)))
        places = np.arange(shape[1]).reshape(1, -1, *[1] * (len(shape) - 2))
        x = np.where(places < lengths, x, 0)
    return x.astype(part.preprocessing.dtype)
