"""Which variant of an artifact a device gets, and why: by manifest and profile."""

from __future__ import annotations

import dataclasses
import pathlib
import re

from tflite_odl import contract
from tflite_odl.deploy.facts import Facts
from tflite_odl.desk import profiles
from tflite_odl.desk.needs import needs
from tflite_odl.desk.profiles import Profile
from tflite_odl.errors import ArtifactError, ContractError, DeviceError
from tflite_odl.host import embedded, loop
from tflite_odl.host.artifact import Artifact

# Memory in MB from which on a phone is of a class; a phone has less than is printed on
# its box, as its kernel and its GPU take some.
_CLASSES = ((0, "low_end"), (2800, "mid_range"), (5400, "upper_mid_range"))
_FLAGSHIP = (9500, "flagship")
# Of a device that says its memory, what an app in the background may take of it.
_SHARE = 0.125


@dataclasses.dataclass(frozen=True)
class Variant:
    """An artifact, and what stands against it on a device.

    Attributes:
      path: its folder.
      artifact: None where it cannot be opened.
      train_mb: memory of a training step, from its file.
      stored_mb: model, goldens, two checkpoints and one that is being written.
      problems: why it does not fit; none: it does.
    """

    path: pathlib.Path
    artifact: Artifact | None = None
    train_mb: float = 0.0
    stored_mb: float = 0.0
    problems: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """Returns a line that says whether it fits, and why."""
        if self.problems:
            return f"{self.path.name} does not fit: {'; '.join(self.problems)}"
        return (
            f"{self.path.name} fits: a step takes {self.train_mb:.1f} MB, it keeps "
            f"{self.stored_mb:.1f} MB"
        )


@dataclasses.dataclass(frozen=True)
class Choice:
    """The variant that was taken.

    Attributes:
      variant: it, which fits.
      profile: by whose limits.
      reasons: a line for each variant that there was, then why it is this one.
    """

    variant: Variant
    profile: Profile
    reasons: tuple[str, ...]


def profile_of(facts: Facts) -> Profile:
    """Returns the built-in profile of the class of phones that a device belongs to."""
    classes = (*_CLASSES, _FLAGSHIP)
    memory = facts.memory_mb or 0
    return profiles.load([name for least, name in classes if least <= memory][-1])


def choose(
    folder: pathlib.Path, facts: Facts, profile: Profile, runtime: str
) -> Choice:
    """Takes the fitting variant whose training step takes most memory.

    The variants of one model differ in batch size and in bits; what takes less memory
    was made for smaller phones, and learns less a step or is rounded more.

    Args:
      folder: an artifact, or a folder of artifacts.
      facts: of the device; what it has free counts.
      profile: what its class of phones may be asked for.
      runtime: version of the TFLite in the app; empty: it is not known.

    Raises:
      ArtifactError: there is no artifact.
      DeviceError: none fits; each with its reason.
    """
    found = [judge(path, facts, profile, runtime) for path in artifacts(folder)]
    reasons = [variant.told for variant in found]
    fitting = [variant for variant in found if not variant.problems]
    if not fitting:
        raise DeviceError(
            f"no artifact fits {facts.model} ({profile.name}): {'. '.join(reasons)}"
        )
    best = max(fitting, key=lambda variant: (variant.train_mb, variant.path.name))
    if len(fitting) > 1:
        reasons.append(f"{best.path.name} is the largest of {len(fitting)} that fit")
    return Choice(best, profile, tuple(reasons))


def artifacts(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the artifact that a folder is, or those that are in it, by name.

    Raises:
      ArtifactError: there is none.
    """
    if (folder / contract.MANIFEST_FILE).is_file():
        return [folder]
    found = sorted(p.parent for p in folder.glob(f"*/{contract.MANIFEST_FILE}"))
    if not found:
        raise ArtifactError(f"{folder} is no artifact, and no folder of artifacts")
    return found


def judge(path: pathlib.Path, facts: Facts, profile: Profile, runtime: str) -> Variant:
    """Returns an artifact with what stands against it on a device."""
    try:
        artifact = Artifact.open(path)
    except (ArtifactError, ContractError) as error:
        return Variant(path, problems=(str(error),))
    manifest = artifact.manifest
    whole = needs(artifact)
    problems = []
    if flex := loop.flex_ops(manifest):
        problems.append(f"{flex} of its ops need the Flex library")
    needed = needed_runtime(artifact.model)
    if runtime and needed > _version(runtime):
        told = ".".join(map(str, needed))
        problems.append(f"its ops need TFLite {told}, the app has {runtime}")
    if whole.train_mb > (limit := _memory_limit(facts, profile)):
        problems.append(
            f"a step takes {whole.train_mb:.1f} MB, it may take {limit:.0f}"
        )
    if whole.stored_mb > (limit := _storage_limit(facts, profile)):
        problems.append(f"it keeps {whole.stored_mb:.1f} MB, it may keep {limit:.0f}")
    return Variant(path, artifact, whole.train_mb, whole.stored_mb, tuple(problems))


def needed_runtime(model: bytes) -> tuple[int, ...]:
    """Returns the oldest TFLite that knows the versions of a model's ops.

    The converter has written it into the file; (): it has not.
    """
    where = embedded.place(model, "min_runtime_version")
    return () if where is None else _version(model[where].decode(errors="replace"))


def _memory_limit(facts: Facts, profile: Profile) -> float:
    own = facts.memory_mb and facts.memory_mb * _SHARE
    return min(filter(None, (profile.memory_mb, own, facts.available_mb)))


def _storage_limit(facts: Facts, profile: Profile) -> float:
    free = profile.storage_mb if facts.storage_mb is None else facts.storage_mb
    return min(profile.storage_mb, free)


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:3]))
