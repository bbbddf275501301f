"""The proof of `skip`: its threshold at work, and each of its buckets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tflite_odl import contract
from tflite_odl.methods.skip.threshold import middles
from tflite_odl.proof.proof import FULL, PADDED, SPOILED, Arrays, Trial
from tflite_odl.proof.references.skip import SkipReference
from tflite_odl.proof.supervised import SupervisedProof, put

# How far a chosen confidence keeps from the edges of intervals.
CLEAR = 1e-3


class SkipProof(SupervisedProof):
    """Args: as for `SupervisedProof`."""

    chooses = True

    def reference(self, dtype: str) -> SkipReference:
        return SkipReference(self.method, dtype)

    def trials(self, batch_size: int) -> Sequence[Trial]:
        """Returns trials of every filling with the threshold at work, and each bucket.

        The second one skips about half of the rows and ends a period, the third one
        skips all; in the next only the labelled rows are kept. Then the steps at which
        skipping begins and ends, the schedule, rows in the threshold's own interval,
        and the calm step.
        """
        padded, spoiled = (PADDED, SPOILED) if batch_size > 1 else (FULL, FULL)
        sizes = self.method.config.bucket_sizes(batch_size)[:-1]
        spoils = range(1, self.batches.spoils(batch_size))
        return [
            Trial(FULL),
            Trial(
                padded,
                changes=lambda state: {
                    **begun(self.method),
                    **halfway(self.method, state),
                },
            ),
            Trial(spoiled, changes=lambda state: closed(self.method)),
            *(
                Trial(
                    labelled=size,
                    changes=lambda state: {
                        **group_end(self.method),
                        **opened(self.method),
                    },
                )
                for size in sizes
            ),
            *self._groups(),
            *(Trial(SPOILED, spoil=part, carried=False) for part in spoils),
            *self._borders(),
            *self._on_the_edge(),
            *self._loud(lambda state: {**self.calm(state), **opened(self.method)}),
        ]

    def _groups(self) -> list[Trial]:
        """Returns, where batches are accumulated, the last one of a group, none of its
        own rows kept: with rows kept before, and without."""
        if self.method.config.accumulate == 1:
            return []
        return [
            Trial(
                signatures=(contract.TRAIN,),
                changes=lambda state, kept=kept: {
                    **closed(self.method),
                    **group_end(self.method),
                    "kept_in_group": np.array([kept], np.int32),
                },
                carried=False,
            )
            for kept in (3, 0)
        ]

    def _borders(self) -> list[Trial]:
        """Returns the last step of the warm-up and the first one after it, those about
        the step from which nothing is skipped, and one amid the schedule's decay."""
        config, train = self.method.config, (contract.TRAIN,)
        steps = [config.warm_up - 1, config.warm_up] if config.warm_up else []
        if config.full_from is not None:
            steps += [config.full_from - 1, config.full_from]
        shut = [
            Trial(
                signatures=train,
                changes=lambda state, at=step: {
                    **closed(self.method),
                    **put({"step": at})(state),
                },
                carried=False,
            )
            for step in steps
        ]
        if not config.schedule.hyperparameters():
            return shut
        amid = put({"step": self.amid + config.warm_up, "updates": self.amid})
        scheduled = Trial(
            signatures=train,
            changes=lambda state: {**opened(self.method), **amid(state)},
            carried=False,
        )
        return [*shut, scheduled]

    def _on_the_edge(self) -> list[Trial]:
        """Returns a trial in which some rows are in the first interval that is skipped,
        if the net's last layer lets one choose its confidences."""
        head = self.method.network.graph.output
        names = [head.weights.get(role) for role in ("kernel", "bias")]
        changes = levelled(self.method)
        if head.op != "dense" or not {*names} <= {*self.kinds()} or not changes:
            return []
        kernel, bias = names

        def change(state: Arrays) -> Arrays:
            logits = changes["logits"].astype(np.float32)
            return {
                kernel: np.zeros_like(state[kernel]),
                bias: logits,
                **begun(self.method),
                **_cut(changes["interval"]),
            }

        return [Trial(signatures=(contract.TRAIN,), changes=change, carried=False)]


def levelled(method) -> dict:
    """Returns {"logits": [C], "interval": k} such that rows of some classes have a
    confidence amid interval k, and those of the others one below; {} if there are none
    that stay clear of all edges."""
    config, classes = method.config, method.num_classes
    if config.policy != "threshold" or config.confidence != "true_label":
        return {}
    edges, centres = method.policy.edges, middles(method.policy.edges)
    for interval in np.flatnonzero(centres > 1.001 / classes):
        p = centres[interval]
        for upper in range(min((classes + 1) // 2, int(0.9 / p)), 0, -1):
            lower = (1 - upper * p) / (classes - upper)
            if np.abs(edges - lower).min() >= CLEAR and lower < edges[interval]:
                above = np.arange(classes) < upper
                return {
                    "logits": np.where(above, np.log(p / lower), 0.0),
                    "interval": int(interval),
                }
    return {}


def begun(method) -> Arrays:
    """Returns what to change in a state for a step after the warm-up, an update's."""
    first, every = method.config.warm_up + 1, method.config.accumulate
    return {"step": np.array([first + -(first + 1) % every], np.int32)}


def group_end(method) -> Arrays:
    """Returns what to change in a state so that an update is due, if anything."""
    return {} if method.config.accumulate == 1 else begun(method)


def halfway(method, state: Arrays) -> Arrays:
    """Returns what to change in a state to skip about half, and to decide anew.

    As if rows of every interval had come: a decision that all of them are in, under a
    bound so wide that some interval meets it.
    """
    config = method.config
    if config.policy != "threshold":
        return {}
    counts = state["confidence_counts"].cumsum()
    middle = np.searchsorted(counts, counts[-1] / 2) + 1
    due = np.maximum(np.round(state["update_period"]) - 1, 0)
    every = np.ones(config.intervals)
    seen = {
        "confidence_counts": every.astype(np.int32),
        "gradient_sums": (1 - middles(method.policy.edges)).astype(np.float32),
        "error_bound": np.array([config.kappa / 2], np.float32),
    }
    if "gradient_counts" in state:
        seen["gradient_counts"] = every.astype(np.int32)
    return {**_cut(middle), **seen, "period_steps": due.astype(np.int32)}


def closed(method) -> Arrays:
    """Returns what to change in a state to skip every row, if the policy can."""
    if method.config.policy == "threshold":
        return _cut(0)
    if method.config.policy == "fixed":
        return {"fixed_threshold": np.array([-1.0], np.float32)}
    return {}


def opened(method) -> Arrays:
    """Returns what to change in a state to skip no row."""
    policy, one = method.config.policy, np.ones(1, np.float32)
    if policy == "threshold":
        return _cut(method.config.intervals)
    if policy == "fixed":
        return {"fixed_threshold": 2 * one}
    return {} if policy == "full" else {"skip_rate": 0 * one}


def _cut(j: int) -> Arrays:
    return {"threshold_interval": np.array([j], np.int32)}
