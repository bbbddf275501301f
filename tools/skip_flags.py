"""The flags of `convert.py` that are only of the method skip."""

from __future__ import annotations

from typing import Any

from absl import flags

_SKIP = (
    flags.DEFINE_enum(
        "policy",
        "threshold",
        ["threshold", "full", "random", "fixed", "selective", "infobatch"],
        "skip: the method itself, or a baseline",
    ),
    flags.DEFINE_float("error_bound", 0.05, "skip: largest relative squared error"),
    flags.DEFINE_integer("intervals", 20, "skip: of the confidence"),
    flags.DEFINE_enum(
        "spacing",
        "uniform",
        ["uniform", "geometric"],
        "skip: of the intervals; geometric ones are ever finer towards 1",
    ),
    flags.DEFINE_integer(
        "update_period", None, "skip: steps between decisions, an epoch or 200 if unset"
    ),
    flags.DEFINE_integer("warm_up", 0, "skip: steps before anything is skipped"),
    flags.DEFINE_enum(
        "confidence", "true_label", ["true_label", "max"], "skip: which probability"
    ),
    flags.DEFINE_enum(
        "gradient_ends", "head", ["head", "probe"], "skip: how gradients are sized"
    ),
    flags.DEFINE_float(
        "keep_skipped", 0.0, "skip: fraction of skipped rows kept at random"
    ),
    flags.DEFINE_enum(
        "divide", None, ["batch", "kept"], "skip: the gradient, by these rows"
    ),
    flags.DEFINE_enum(
        "norm_means",
        "batch",
        ["batch", "kept"],
        "skip: rows that batch norms' backward means are divided by",
    ),
    flags.DEFINE_enum(
        "forward",
        "shared",
        ["shared", "recompute"],
        "skip: for kept rows, share the forward pass, or repeat it in less memory",
    ),
    flags.DEFINE_float("skip_rate", 0.5, "skip: of random, selective, infobatch"),
    flags.DEFINE_float("fixed_threshold", 0.9, "skip: of the policy fixed"),
)


def options(rows: int | None, batch_size: int) -> dict[str, Any]:
    """Returns skip's own configuration.

    Args:
      rows: of the training set, if known: a period is one epoch of it.
      batch_size: rows of a train call.
    """
    found = {flag.name: flag.value for flag in _SKIP}
    if found["update_period"] is None:
        found["update_period"] = max(1, rows // batch_size) if rows else 200
    return found
