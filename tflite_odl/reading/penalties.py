"""Regularizers and constraints of Keras layers, as penalties and constraints."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import tf_keras

from tflite_odl.builtin.constraints import Constraint, NonNegative, Norm, UnitNorm
from tflite_odl.builtin.penalties import Penalty
from tflite_odl.errors import ModelError

ACTIVITY = "activity_regularizer"
_REGULARIZER, _CONSTRAINT = "_regularizer", "_constraint"


# Copies of a model find the class by its name.
@tf_keras.saving.register_keras_serializable("tflite_odl")
class OfLearning(tf_keras.regularizers.L1L2):
    """L1 and L2 as Keras 3 has them on weights: only while the weight learns.

    tf_keras counts a frozen layer's penalty, too, a constant in the loss.

    Attributes:
      counts: whether it is computed; else it is 0.
    """

    counts = True

    def __call__(self, x):
        return super().__call__(x) if self.counts else 0.0 * super().__call__(x)


@dataclasses.dataclass(frozen=True)
class Term:
    """The penalty on one weight.

    Attributes:
      variable: the weight.
      layer: path of its layer.
      penalty: what it adds to the loss.
      regularizer: Keras' object that says so.
    """

    variable: Any
    layer: str
    penalty: Penalty
    regularizer: Any

    @property
    def of_learning(self) -> bool:
        """Whether it counts only while the weight learns."""
        return isinstance(self.regularizer, OfLearning)


def regularized(layer: Any, path: str) -> list[Term]:
    """Returns the penalties on the weights of a tf_keras layer.

    Raises:
      ModelError: a regularizer that is no L1, L2 or L1L2.
    """
    found = []
    for key, regularizer, variable in _of_weights(layer, path, _REGULARIZER):
        if term := penalty(regularizer, f"layer {path!r}: {key}"):
            found.append(Term(variable, path, term, regularizer))
    return found


def constrained(layer: Any, path: str) -> list[tuple[Any, Constraint]]:
    """Returns (variable, constraint of it) of a tf_keras layer.

    Raises:
      ModelError: a constraint that is not NonNeg, MaxNorm, MinMaxNorm or UnitNorm.
    """
    found = []
    for key, constraint, variable in _of_weights(layer, path, _CONSTRAINT):
        where = f"layer {path!r}: {key}"
        found.append((variable, _constraint(constraint, variable.shape.rank, where)))
    return found


def activity(layer: Any, path: str) -> Penalty | None:
    """Returns the penalty on a layer's output, if it has one.

    Raises:
      ModelError: one that has no builtin form, or that is of a layer within.
    """
    for inner in layer._flatten_layers(include_self=False):
        if getattr(inner, ACTIVITY, None) is not None:
            raise ModelError(
                f"layer {path!r}: the {ACTIVITY} of layer {inner.name!r} in it has no "
                "builtin form; put an ActivityRegularization layer behind it instead"
            )
    regularizer = getattr(layer, ACTIVITY, None)
    if regularizer is None:
        return None
    return penalty(regularizer, f"layer {path!r}: {ACTIVITY}")


def known(regularizer: Any) -> bool:
    """Whether a tf_keras regularizer has a builtin form."""
    of = tf_keras.regularizers
    return type(regularizer) in (of.L1, of.L2, of.L1L2, OfLearning)


def penalty(regularizer: Any, where: str) -> Penalty | None:
    """Returns the penalty that a tf_keras regularizer computes, None if it is 0."""
    if not known(regularizer):
        raise ModelError(
            f"{where} {type(regularizer).__name__} has no builtin form: use L1, L2 or "
            "L1L2, or set it to None and save the model again"
        )
    config = regularizer.get_config()
    found = Penalty(float(config.get("l1", 0.0)), float(config.get("l2", 0.0)))
    return found if found.l1 or found.l2 else None


def _of_weights(layer: Any, path: str, ending: str) -> Iterator[tuple[str, Any, Any]]:
    """Yields (key, what the layer has under it, the variable that it is for), also of
    the layers within it, such as the cell of a recurrent one."""
    layers = list(layer._flatten_layers())
    for one in layers:
        for key, value in list(vars(one).items()):
            if key.startswith("_") or not key.endswith(ending):
                continue
            if value is None or key == ACTIVITY:
                continue
            variable = _variable(one, key.removesuffix(ending))
            if variable is not None:
                yield key, value, variable
            elif not hasattr(one, key.removesuffix(ending)) and len(layers) == 1:
                raise ModelError(f"layer {path!r}: {key} is of no weight that is known")


def _variable(layer: Any, name: str) -> Any | None:
    # A separable layer's depthwise_constraint is for its depthwise_kernel. A layer
    # without bias may have a bias_regularizer.
    found = getattr(layer, name, None)
    return getattr(layer, f"{name}_kernel", None) if found is None else found


def _constraint(constraint: Any, rank: int, where: str) -> Constraint:
    kinds, config = tf_keras.constraints, constraint.get_config()
    axes = config.get("axis", 0)
    axes = (axes,) if isinstance(axes, int) else tuple(axes)
    axes = tuple(axis % rank for axis in axes)
    if type(constraint) is kinds.NonNeg:
        return NonNegative()
    if type(constraint) is kinds.UnitNorm:
        return UnitNorm(axes)
    if type(constraint) is kinds.MaxNorm:
        return Norm(axes, high=float(config["max_value"]))
    if type(constraint) is kinds.MinMaxNorm:
        low, high = float(config["min_value"]), float(config["max_value"])
        return Norm(axes, low, high, float(config["rate"]))
    raise ModelError(
        f"{where} {type(constraint).__name__} has no builtin form: use NonNeg, "
        "MaxNorm, MinMaxNorm or UnitNorm, or set it to None and save the model again"
    )
