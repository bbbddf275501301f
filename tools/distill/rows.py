"""The rows of a case: to learn from, to choose by, held out. NumPy."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from tflite_odl import streams
from tflite_odl.contract import UNLABELLED
from tflite_odl.streams.dataset import Split
from tools.distill import cases

# Of the rows to learn from, those that are kept to choose a temperature by.
VALIDATION = 0.1
# People of the recordings: the student's own, the teacher's, and those who are new.
STUDENTS, TEACHERS = 6, 18
NEW_DIGITS = "digits:rotate=90,invert"


@dataclasses.dataclass(frozen=True)
class Rows:
    """What a case learns and is judged by.

    Attributes:
      classes: names.
      scale, offset: preprocessing.
      taught: what the teacher learned from.
      labelled: what the student learns from with labels; in a story, before.
      new: what it learns from besides or, in a story, then; labels that it is not told
        are hidden; None where all it learns from has labels.
      validation: to choose by; empty in a story.
      test: held out.
    """

    classes: tuple[str, ...]
    scale: float
    offset: float
    taught: Split
    labelled: Split
    new: Split | None
    validation: Split | None
    test: Split


@functools.cache
def of_case(case: cases.Case) -> Rows:
    """Returns a case's rows; raises DataError where the recordings are not there."""
    if case.dataset == "phone story":
        return _phone()
    if case.dataset == "digits story":
        old, new = streams.open("digits"), streams.open(NEW_DIGITS)
        about = old.classes, old.scale, old.offset
        return Rows(*about, old.train, old.train, _hidden(new.train), None, new.test)
    data = streams.open(case.dataset)
    order = np.random.default_rng(0).permutation(len(data.train))
    cut = round(len(order) * VALIDATION)
    validation, train = (
        _some(data.train, np.sort(o)) for o in (order[:cut], order[cut:])
    )
    about = data.classes, data.scale, data.offset
    if case.labels is None:
        return Rows(*about, train, train, None, validation, data.test)
    labelled = _some(train, np.arange(case.labels))
    mixed = _hidden(train, case.labels)
    return Rows(*about, train, labelled, mixed, validation, data.test)


def _phone() -> Rows:
    """Returns windows of people: the student's, the teacher's, and new ones, whose
    executions are by turns learned from and held out."""
    data = streams.open(cases.PHONE)
    with np.load(cases.PHONE.removeprefix("npz:"), allow_pickle=False) as arrays:
        subject, execution = arrays["phone_subject"], arrays["phone_execution"]
    changes = (np.diff(subject) != 0) | (np.diff(execution) != 0)
    # The person of each execution, in the order of the file.
    people = subject[np.concatenate([[0], np.flatnonzero(changes) + 1])]
    own = _some(data.train, people[data.train.group] <= STUDENTS)
    held = data.test.group % 2 == 0
    new, test = _some(data.test, ~held), _some(data.test, held)
    about = data.classes, data.scale, data.offset
    return Rows(*about, data.train, own, _hidden(new), None, test)


def _some(split: Split, chosen: np.ndarray) -> Split:
    return Split(split.x[chosen], split.y[chosen])


def _hidden(split: Split, but: int = 0) -> Split:
    """Returns the rows without labels, but for the first ones."""
    labels = np.concatenate([split.y[:but], np.full_like(split.y[but:], UNLABELLED)])
    return Split(split.x, labels)
