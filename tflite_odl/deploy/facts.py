"""What a device is: read through its shell, on Android and on any Linux behind adbd."""

from __future__ import annotations

import dataclasses
import re

from tflite_odl.deploy.bridge import SHARED, Bridge
from tflite_odl.errors import DeviceError

# Of `uname -m`, where there is no getprop.
_MACHINES = {"aarch64": "arm64-v8a", "x86_64": "x86_64", "armv7l": "armeabi-v7a"}
# Of PowerManager.THERMAL_STATUS_*, by number.
THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")


@dataclasses.dataclass(frozen=True)
class Facts:
    """A device as it says itself; None where it says nothing.

    Attributes:
      model: manufacturer and model.
      abis: what its processor runs, the best first.
      api: Android's API level.
      memory_mb, available_mb: in all, and what apps could take now.
      cores: that are there.
      storage_mb: free where adb's shell may write, as a rule apps' storage.
      thermal: one of `THERMAL`.
      battery: percent.
      charging: whether it is plugged in.
    """

    model: str
    abis: tuple[str, ...]
    api: int | None = None
    memory_mb: float | None = None
    available_mb: float | None = None
    cores: int | None = None
    storage_mb: float | None = None
    thermal: str | None = None
    battery: int | None = None
    charging: bool | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns what will make a run slower than it need be."""
        found = []
        if self.thermal in THERMAL[2:]:
            found.append(f"it is warm (thermal status {self.thermal}): steps are slow")
        if self.battery is not None and self.battery < 20 and not self.charging:
            found.append(f"its battery has {self.battery} %: it may save power")
        return tuple(found)


def read(bridge: Bridge) -> Facts:
    """Asks a device what it is.

    Raises:
      DeviceError: the connection was lost.
    """
    memory = _numbers(_asked(bridge, "cat", "/proc/meminfo"))
    battery = _asked(bridge, "dumpsys", "battery")
    return Facts(
        model=_model(bridge),
        abis=_abis(bridge),
        api=_whole(_asked(bridge, "getprop", "ro.build.version.sdk")),
        memory_mb=_megabytes(memory.get("MemTotal")),
        available_mb=_megabytes(memory.get("MemAvailable")),
        cores=_cores(_asked(bridge, "cat", "/sys/devices/system/cpu/present")),
        storage_mb=_free(_asked(bridge, "df", "-k", SHARED.rsplit("/", 1)[0])),
        thermal=_thermal(_asked(bridge, "dumpsys", "thermalservice")),
        battery=_whole(_found(r"^\s*level: (\d+)", battery)),
        charging=_charging(battery),
    )


def check(
    facts: Facts, abis: tuple[str, ...], oldest_api: int, needed_mb: float
) -> str | None:
    """Returns the ABI that an APK of these ABIs will run with.

    Args:
      facts: of the device.
      abis: whose libraries the APK has.
      oldest_api: that the app runs on.
      needed_mb: storage that app, artifact and stream take.

    Raises:
      DeviceError: too old, wrong ABI, or no space.
    """
    if facts.api is not None and facts.api < oldest_api:
        raise DeviceError(
            f"{facts.model} is too old: API {facts.api}, the app needs {oldest_api}"
        )
    fitting = [abi for abi in facts.abis if abi in abis]
    if not fitting:
        raise DeviceError(
            f"{facts.model} has the wrong ABI: it runs {', '.join(facts.abis)}, the "
            f"APK has {', '.join(abis)}"
        )
    check_space(facts, needed_mb)
    return fitting[0]


def check_space(facts: Facts, needed_mb: float) -> None:
    """Raises DeviceError if the free storage is known and too little."""
    if facts.storage_mb is not None and facts.storage_mb < needed_mb:
        raise DeviceError(
            f"{facts.model} has no space: {facts.storage_mb:.0f} MB are free, "
            f"{needed_mb:.0f} MB are needed"
        )


def _asked(bridge: Bridge, *words: str) -> str:
    """Returns what a command prints; nothing where the device has none of it."""
    code, output = bridge.ask(*words)
    return "" if code else output


def _model(bridge: Bridge) -> str:
    names = ("ro.product.manufacturer", "ro.product.model")
    told = " ".join(filter(None, (_asked(bridge, "getprop", name) for name in names)))
    return told or _asked(bridge, "uname", "-n") or bridge.serial


def _abis(bridge: Bridge) -> tuple[str, ...]:
    listed = _asked(bridge, "getprop", "ro.product.cpu.abilist")
    if listed:
        return tuple(listed.split(","))
    machine = _asked(bridge, "uname", "-m")
    return (_MACHINES.get(machine, machine),)


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else ""


def _whole(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None


def _numbers(text: str) -> dict[str, int]:
    """Returns /proc/meminfo's lines, in kB."""
    return {name: int(kb) for name, kb in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}


def _megabytes(kilobytes: int | None) -> float | None:
    return None if kilobytes is None else kilobytes / 1024


def _cores(text: str) -> int | None:
    """Returns how many numbers are in a list as the kernel writes it: 0-3,6."""
    parts = [part.split("-") for part in text.strip().split(",")]
    if not all(bound.isdigit() for part in parts for bound in part):
        return None
    return sum(int(part[-1]) - int(part[0]) + 1 for part in parts)


def _free(text: str) -> float | None:
    """Returns df's fourth column; a long name has a line of its own before it."""
    fields = " ".join(text.splitlines()[1:]).split()
    numbers = [field for field in fields if field.isdigit()]
    return int(numbers[2]) / 1024 if len(numbers) >= 3 else None


def _thermal(text: str) -> str | None:
    number = _whole(_found(r"^Thermal Status: (\d+)", text))
    return THERMAL[number] if number is not None and number < len(THERMAL) else None


def _charging(text: str) -> bool | None:
    states = re.findall(r"^\s*(?:AC|USB|Wireless|Dock) powered: (\w+)", text, re.M)
    return "true" in states if states else None
