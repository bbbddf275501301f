"""One poisoned batch, then clean ones: rejected, or as good as never met."""

from __future__ import annotations

import pathlib

import numpy as np

from tflite_odl import contract
from tflite_odl.host.session import Session
from tools.robust import children, driving

PIXELS = (1e4, 1e6, 1e10, 1e15, 1e19, 3e38)
STEPS, MOST_DIFFERENCE = 200, 0.1


def study(artifacts: dict[str, pathlib.Path], steps: int = STEPS) -> list[dict]:
    """Returns, of each artifact and runtime, each poison's rows and its harm."""
    found = []
    for name, path in artifacts.items():
        for runtime in ("interpreter", "compiled"):
            how, answer = children.run(
                lambda p=path, r=runtime: tried(p, r, steps), 3600
            )
            about = answer if how == "done" else {"failed": f"{how}: {answer}"}
            found.append({"artifact": name, "runtime": runtime, **about})
    return found


def poisons(batch: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Returns poisoned copies of a train batch by name."""
    (name,) = [key for key in batch if key != "y"]
    x, y = batch[name], batch["y"]
    tiny = np.full_like(x, 1e-45)
    found = {
        "constant data": {name: np.ones_like(x)},
        "denormals": {name: tiny},
        "one class only": {"y": np.zeros_like(y)},
        "no labels": {"y": np.full_like(y, contract.UNLABELLED)},
        "one real row": {"count": np.int32([1])},
    }
    for value in PIXELS:
        for what, cell in (("a pixel", (0, *[0] * (x.ndim - 1))), ("a row", (0,))):
            changed = x.copy()
            changed[cell] = value
            found[f"{what} of {value:g}"] = {name: changed}
    return {what: {**batch, **changes} for what, changes in found.items()}


def tried(path: pathlib.Path, runtime: str, steps: int) -> dict:
    """Returns what each poison came to on one runtime, in this process."""
    with Session(path, runtime, 1) as session:
        clean = _loss(session, None, steps)[0]
        found, bad = [], []
        for name, poison in poisons(driving.batch(session.manifest, 77)).items():
            session.reset()
            loss, rejected, fine = _loss(session, poison, steps)
            found.append([name, rejected, round(loss - clean, 4)])
            harmless = rejected or abs(loss - clean) <= MOST_DIFFERENCE
            if not (fine and harmless):
                bad.append(found[-1])
    worst = max((abs(one[2]) for one in found if not one[1]), default=0.0)
    return {"poisons": len(found), "worst": worst, "of": found, "bad": bad}


def _loss(
    session: Session, poison: dict | None, steps: int
) -> tuple[float, bool, bool]:
    """Returns (loss after clean steps, whether rows were rejected, state is sound)."""
    rejected = False
    for seed in range(steps):
        if poison is not None and seed == 20:
            metrics = session.train(**poison)
            rejected = bool(metrics["rejected_rows"][0]) or not metrics["accepted"][0]
        session.train(**driving.batch(session.manifest, seed))
    state = session.state(include_buffers=True)
    sound = not any(spec.misfit(state[spec.name]) for spec in session.manifest.state)
    held = [driving.batch(session.manifest, 10_000 + n) for n in range(8)]
    rows = {key: np.concatenate([one[key] for one in held]) for key in held[0]}
    return session.evaluate(**rows)["loss"], rejected, sound
