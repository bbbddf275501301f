"""The gradient's true error: what rows teach with and without the threshold."""

from __future__ import annotations

import numpy as np

BATCHES = 4


def measured_rse(session, split) -> float:
    """Returns |g' - g|^2 / |g|^2 of g, the gradient of some held-out batches.

    g' leaves out what the present threshold skips. With empty momentum buffers a step
    leaves -rate g in them, so gradients are read there; the session ends as it was.

    Args:
      session: at work on `skip` with momentum.
      split: held-out rows, of which a few batches are taken.
    """
    state = session.state(include_buffers=True)
    slots = [spec.name for spec in session.manifest.state if spec.role == "slot"]
    empty = {**state, **{name: np.zeros_like(state[name]) for name in slots}}
    empty["learning_rate"] = np.ones_like(state["learning_rate"])
    all_kept = np.full_like(
        state["threshold_interval"], session.manifest.method["config"]["intervals"]
    )
    open_ = {**empty, "threshold_interval": all_kept}
    approximate = _gradient(session, split, empty, slots)
    exact = _gradient(session, split, open_, slots)
    session.load_state(state)
    off = sum(float(np.sum((a - b) ** 2)) for a, b in zip(approximate, exact))
    return off / max(sum(float(np.sum(b**2)) for b in exact), 1e-30)


def _gradient(session, split, state: dict, slots: list[str]) -> list[np.ndarray]:
    size, total = session.batch_size, [0.0] * len(slots)
    stride = max(1, len(split) // (BATCHES * size))
    for number in range(BATCHES):
        rows = slice(number * size * stride, (number + 1) * size * stride, stride)
        session.load_state(state)
        session.train(x=split.x[rows], y=split.y[rows])
        after = session.state()
        total = [t + after[n].astype(np.float64) for t, n in zip(total, slots)]
    return total
