"""Tensors and signatures: what they are called, hold, and stand for."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import re
import sys
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from tflite_odl.contract import names
from tflite_odl.errors import ContractError

# Sizes fit into the int32 of a TFLite shape, and so does their product.
LARGEST_SIZE = 2**31 - 1

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """One named tensor of a signature or of the state: fixed shape, rank >= 1.

    Attributes:
      role: one of `ROLES` for a state tensor, of `INPUT_ROLES` for an input, else
        empty.
      unit, about: for people.
      fill: of an input, the value of rows that the caller leaves out; None: it must be
        given.
      low, high: the range of a hyper-parameter, or of the numbers of a tensor of the
        state, both ends included; None: no end.
      total: of an output, one of `TOTALS`; empty: it says nothing of other calls.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    role: str = ""
    unit: str = ""
    about: str = ""
    fill: float | None = None
    low: float | None = None
    high: float | None = None
    total: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.match(self.name):
            raise ContractError(
                f"tensor name {self.name!r}: letters, digits and '_' are allowed, "
                "beginning with a letter"
            )
        if self.dtype not in names.DTYPES:
            raise self._error(f"dtype {self.dtype!r}, needs one of {names.DTYPES}")
        object.__setattr__(self, "shape", self._sizes())
        self._check_words()
        self._check_numbers()
        if self.fill is not None and math.isnan(self.fill):
            # NaN differs from itself unless it is the same object: equal specs stay so.
            object.__setattr__(self, "fill", math.nan)

    def _sizes(self) -> tuple[int, ...]:
        try:
            sizes = tuple(map(_size, self.shape))
        except TypeError as error:
            raise self._error(f"shape {self.shape!r}, needs whole numbers") from error
        if not sizes or min(sizes) < 1 or math.prod(sizes) > LARGEST_SIZE:
            raise self._error(
                f"shape {list(sizes)}, needs rank >= 1 and fixed sizes >= 1, "
                f"{LARGEST_SIZE} elements at most"
            )
        return sizes

    def _check_words(self) -> None:
        roles = (*names.ROLES, *names.INPUT_ROLES)
        for field, known in (("role", roles), ("total", names.TOTALS)):
            value = getattr(self, field)
            if value != "" and value not in known:
                raise self._error(f"{field} {value!r}, needs one of {known}")
        for field in ("unit", "about"):
            if not isinstance(getattr(self, field), str):
                raise self._error(f"{field} {getattr(self, field)!r}, needs a text")

    def _check_numbers(self) -> None:
        for field in ("fill", "low", "high"):
            value = getattr(self, field)
            if value is not None and not _is_number(value):
                raise self._error(f"{field} {value!r}, needs a number")
        ends = [end for end in (self.low, self.high) if end is not None]
        if not all(map(math.isfinite, ends)) or ends != sorted(ends):
            raise self._error(f"range {self.range}, needs finite ends, the lower first")
        if self.fill is not None and not self._holds(self.fill):
            raise self._error(f"fill {self.fill!r}, which no {self.dtype} is")

    def _holds(self, value: float) -> bool:
        if self.dtype == "float32":
            return True
        if not math.isfinite(value) or value != int(value):
            return False
        if self.dtype == "bool":
            return value in (0, 1)
        limits = np.iinfo(self.dtype)
        return limits.min <= value <= limits.max

    def _error(self, problem: str) -> ContractError:
        return ContractError(f"tensor {self.name!r} has {problem}")

    @property
    def range(self) -> str:
        """The range in words, such as `0.0 to 1.0` or `0.0 or more`."""
        if self.high is None:
            return "any number" if self.low is None else f"{self.low} or more"
        return (
            f"{self.high} or less" if self.low is None else f"{self.low} to {self.high}"
        )

    @property
    def bytes(self) -> int:
        """Size of the tensor's data."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def allows(self, value: float) -> bool:
        """Whether a number is within the range; NaN, which changes nothing, is."""
        above = self.low is None or not value < self.low
        return above and (self.high is None or not value > self.high)

    def misfit(self, value: np.ndarray) -> str:
        """Returns what is wrong with a tensor of the state, "" if nothing is.

        Floats are finite and numbers within the range, which is rounded to the dtype.
        """
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return f"{self.name!r} has values that are not finite"
        if value.dtype == bool and (value.view(np.uint8) > 1).any():
            return f"{self.name!r} has bytes that are no truth values"
        kind = value.dtype.type if value.dtype.kind == "f" else np.float64
        with np.errstate(over="ignore"):
            low = -math.inf if self.low is None else kind(self.low)
            high = math.inf if self.high is None else kind(self.high)
        if value.size and not low <= value.min() <= value.max() <= high:
            return f"{self.name!r} has values out of its range, {self.range}"
        return ""

    def __str__(self) -> str:
        return f"{self.name} {list(self.shape)} {self.dtype}"


def _size(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError("a truth value is no size")
    return operator.index(value)


def _is_number(value: Any) -> bool:
    """Whether a value is a number that a float64 holds, or NaN."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return not abs(value) > sys.float_info.max


@dataclasses.dataclass(frozen=True)
class Signature:
    """One entry point of an artifact: its inputs and outputs, in a fixed order."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ContractError(
                f"signature {self.name!r}: letters, digits and '_' are allowed, "
                "beginning with a letter"
            )
        if not self.inputs:
            raise ContractError(f"signature {self.name!r} has no input: Java needs one")
        for kind, specs in (("input", self.inputs), ("output", self.outputs)):
            check_unique(f"{kind}s of signature {self.name!r}", [s.name for s in specs])
        means = [s.name for s in self.outputs if s.total == names.MEAN]
        if means and names.COUNT not in self.output_names:
            raise ContractError(
                f"signature {self.name!r}: outputs {means} are means by 'count', which "
                "is no output"
            )

    def check_inputs(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Returns the inputs as C-contiguous arrays in the signature's order.

        Nothing is cast or reshaped: a wrong dtype is a mistake, not a preference.

        Raises:
          ContractError: a name is missing or unknown, a dtype or a shape differs.
        """
        self.check_names(arrays)
        return {spec.name: self._check(spec, arrays[spec.name]) for spec in self.inputs}

    def check_names(self, given: Collection[str]) -> None:
        """Raises ContractError unless the names are those of the inputs."""
        unknown = [name for name in given if name not in self.input_names]
        missing = [name for name in self.input_names if name not in given]
        if unknown or missing:
            raise ContractError(
                f"signature {self.name!r} needs inputs {list(self.input_names)}, "
                f"missing {missing}, unknown {unknown}"
            )

    def _check(self, spec: TensorSpec, value: Any) -> np.ndarray:
        array = np.asarray(value)
        if array.dtype != np.dtype(spec.dtype) or array.shape != spec.shape:
            raise ContractError(
                f"signature {self.name!r} needs {spec}, "
                f"got {list(array.shape)} {array.dtype}"
            )
        return np.ascontiguousarray(array)

    @functools.cached_property
    def input_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.inputs)

    @functools.cached_property
    def output_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.outputs)

    def input(self, name: str) -> TensorSpec:
        return _by_name(self.inputs, name, f"signature {self.name!r}")

    def output(self, name: str) -> TensorSpec:
        return _by_name(self.outputs, name, f"signature {self.name!r}")

    def inputs_of(self, role: str) -> tuple[str, ...]:
        """Returns the names of the inputs of a role, in their order."""
        return tuple(spec.name for spec in self.inputs if spec.role == role)


def check_unique(what: str, given: list[str]) -> None:
    """Raises ContractError naming the names that occur more than once."""
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice:
        raise ContractError(f"{what} must be unique, these occur twice: {twice}")


def _by_name(specs: tuple[TensorSpec, ...], name: str, where: str) -> TensorSpec:
    for spec in specs:
        if spec.name == name:
            return spec
    raise ContractError(f"{where} has no {name!r}, it has {[s.name for s in specs]}")
