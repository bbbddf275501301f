"""Which of some artifacts is for which phone, by the built-in device profiles."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tflite_odl import contract
from tflite_odl.desk import profiles
from tflite_odl.desk.needs import needs
from tflite_odl.host.artifact import Artifact


@dataclasses.dataclass(frozen=True)
class Fit:
    """Whether an artifact is for a phone.

    Attributes:
      device, artifact: names.
      problems: what does not fit, with figures; empty if all does.
      share: of the time that the sensor leaves, what training takes by counts; None
        where nothing was counted.
    """

    device: str
    artifact: str
    problems: tuple[str, ...]
    share: float | None


def fit(
    name: str,
    artifact: Artifact,
    device: profiles.Profile,
    counts: Mapping[str, float],
) -> Fit:
    """Holds one artifact against one device.

    Args:
      name: of the artifact, for tables.
      artifact: opened.
      device: its limits.
      counts: {core: millions of cycles of a training step, by estimate}.
    """
    manifest = artifact.manifest
    whole = needs(artifact)
    problems = []
    if whole.train_mb > device.memory_mb:
        problems.append(f"a step takes {whole.train_mb:.0f} MB of {device.memory_mb:g}")
    if whole.stored_mb > device.storage_mb:
        problems.append(f"{whole.stored_mb:.0f} MB are stored of {device.storage_mb:g}")
    share = None
    if device.core in counts and device.sensor.rows_per_second:
        rows = manifest.signature(contract.TRAIN).inputs[0].shape[0]
        budget = rows / device.sensor.rows_per_second
        warm = min(share for _, share in device.duty)
        share = counts[device.core] / (device.gigahertz * 1e3) / (budget * warm)
        if share > 1:
            problems.append(f"a step takes {share:.1f} times what the sensor leaves")
    return Fit(device.name, name, tuple(problems), share)


def advice(fits: Sequence[Fit], preferred: Sequence[str]) -> dict[str, str]:
    """Returns {device: the first of the preferred artifacts that fits, or why none}."""
    found = {}
    for device in dict.fromkeys(one.device for one in fits):
        mine = {one.artifact: one for one in fits if one.device == device}
        fitting = [name for name in preferred if not mine[name].problems]
        if fitting:
            found[device] = fitting[0]
        else:
            why = (f"{name}: {', '.join(mine[name].problems)}" for name in preferred)
            found[device] = f"none ({'; '.join(why)})"
    return found
