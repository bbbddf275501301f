"""What is measured: nets, batches, and the batch of rows every engine learns.

Runs in every engine's environment: NumPy only.
"""

from __future__ import annotations

import dataclasses

import numpy as np

LEARNING_RATE = 0.05
CLASSES = 10
BATCHES = (1, 8, 16, 32)


@dataclasses.dataclass(frozen=True)
class Net:
    """A backbone of `tflite_odl.models`; shape [H, W, C] or [T, C]."""

    name: str
    shape: tuple[int, ...]
    options: tuple[tuple[str, float], ...] = ()


NETS = (
    Net("resnet8", (32, 32, 3)),
    Net("resnet20", (32, 32, 3)),
    Net("mobilenet_v2", (96, 96, 3), (("alpha", 0.35),)),
    Net("keyword", (49, 10, 1)),
    Net("inertial", (128, 6)),
)


@dataclasses.dataclass(frozen=True)
class Case:
    """One net at one batch size: all weights, batch statistics, SGD, float32."""

    net: Net
    batch: int

    @property
    def name(self) -> str:
        return f"{self.net.name}-b{self.batch}"


CASES = {case.name: case for case in (Case(n, b) for n in NETS for b in BATCHES)}


def data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Returns x [B, ...] float32 and y [B] int32, the same for every engine."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(case.batch, *case.net.shape)).astype(np.float32)
    return x, rng.integers(0, CLASSES, case.batch).astype(np.int32)
