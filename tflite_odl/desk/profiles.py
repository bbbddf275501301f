"""Device profiles: what a phone limits, as a TOML file says it.

Built-in ones are in `devices/`; `docs/devices.md` explains the fields. The numbers are
classes of phones, not measurements of one.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import sys
from typing import Any

from tflite_odl.desk.arm.cores import CORES
from tflite_odl.errors import DeviceError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = pathlib.Path(__file__).with_name("devices")
ABIS = ("arm64-v8a", "x86_64")
DROPS = ("oldest", "newest", "none")


@dataclasses.dataclass(frozen=True)
class Sensor:
    """How a stream arrives.

    Attributes:
      rows_per_second: 0: whenever the app asks, none is ever missed.
      queue: rows that wait at most.
      drop: which rows are lost when the queue is full: `oldest` or `newest`; `none`
        makes the sensor wait.
    """

    rows_per_second: float = 0.0
    queue: int = 64
    drop: str = "oldest"


@dataclasses.dataclass(frozen=True)
class Background:
    """When the system lets an app work unseen.

    Attributes:
      minutes: of one job, at most; the rest of a run waits for the next window.
      charging, idle: what a window asks for; for the report.
    """

    minutes: float = 10.0
    charging: bool = True
    idle: bool = True


@dataclasses.dataclass(frozen=True)
class Profile:
    """A class of phones.

    Attributes:
      name: of the file, without .toml.
      about: one line for people.
      abi: of its processor.
      core: whose kernels run, a name of `arm.cores.CORES`.
      threads: of the CPU kernels that an app should use.
      memory_mb: that the artifact and its runtime may take above the app without them.
      storage_mb: for artifact, checkpoints and records.
      gigahertz: of the core, for what counts come to; no promise.
      oldest_runtime: the LiteRT of its oldest app or system, such as 1.0.1, which the
        artifact is compared on.
      duty: (second, share of the time that the processor works), the thermal curve;
        each share holds until the next second.
      sensor, background: see there.
    """

    name: str
    about: str
    abi: str = "arm64-v8a"
    core: str = "a76"
    threads: int = 2
    memory_mb: float = 256.0
    storage_mb: float = 100.0
    gigahertz: float = 2.0
    oldest_runtime: str = ""
    duty: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    sensor: Sensor = Sensor()
    background: Background = Background()

    def __post_init__(self) -> None:
        self._one_of("abi", self.abi, ABIS)
        self._one_of("core", self.core, tuple(CORES))
        self._one_of("sensor.drop", self.sensor.drop, DROPS)
        for name in ("memory_mb", "storage_mb", "gigahertz"):
            self._above(name, getattr(self, name), 0)
        self._above("background.minutes", self.background.minutes, 0)
        if not 1 <= self.threads <= 16:
            raise self._error("threads", self.threads, "1 to 16")
        if self.sensor.rows_per_second < 0 or self.sensor.queue < 1:
            raise self._error("sensor", self.sensor, "a rate >= 0 and a queue >= 1")
        seconds = [second for second, _ in self.duty]
        shares = [share for _, share in self.duty]
        if not seconds or seconds[0] != 0 or seconds != sorted(set(seconds)):
            raise self._error("duty", seconds, "seconds that rise from 0")
        if not all(0 < share <= 1 for share in shares):
            raise self._error("duty", shares, "shares above 0, up to 1")

    def _one_of(self, name: str, value: Any, known: tuple[str, ...]) -> None:
        if value not in known:
            raise self._error(name, value, f"one of {', '.join(known)}")

    def _above(self, name: str, value: float, least: float) -> None:
        if not (math.isfinite(value) and value > least):
            raise self._error(name, value, f"a number above {least}")

    def _error(self, name: str, value: Any, needs: str) -> DeviceError:
        return DeviceError(f"device {self.name}: {name} is {value!r}, needs {needs}")

    def share(self, second: float) -> float:
        """Returns the share of the time that the processor works after a while."""
        return [share for since, share in self.duty if since <= second][-1]


def names() -> list[str]:
    """Returns the built-in profiles."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str) -> Profile:
    """Reads a profile, by its name or as a file.

    Raises:
      DeviceError: there is none, or a field is unknown or out of range.
    """
    path = pathlib.Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        with open(path, "rb") as file:
            about = tomllib.load(file)
    except FileNotFoundError as error:
        raise DeviceError(
            f"no device {name!r}: a .toml file, or one of {', '.join(names())}"
        ) from error
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise DeviceError(f"device {path} cannot be read: {error}") from error
    about["name"] = path.stem
    return _read(Profile, about, path)


_PARTS = {"sensor": Sensor, "background": Background}


def _read(kind: type, about: Any, path: pathlib.Path) -> Any:
    """Makes a dataclass of a table, whose values must be of its fields' types."""
    if not isinstance(about, dict):
        raise DeviceError(f"device {path}: {about!r} is no table")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(about) - set(fields))
    if unknown:
        raise DeviceError(f"device {path}: unknown {unknown}, known are {list(fields)}")
    missing = {"about"} & set(fields) - set(about)
    if missing:
        raise DeviceError(f"device {path} lacks {', '.join(missing)}")
    values = {name: _value(fields[name], value, path) for name, value in about.items()}
    return kind(**values)


def _value(field: dataclasses.Field, value: Any, path: pathlib.Path) -> Any:
    if field.name in _PARTS:
        return _read(_PARTS[field.name], value, path)
    if field.name == "duty":
        pairs = isinstance(value, list) and all(
            isinstance(pair, list) and len(pair) == 2 and all(map(_number, pair))
            for pair in value
        )
        if pairs:
            return tuple((float(second), float(share)) for second, share in value)
    elif field.type == "float" and _number(value):
        return float(value)
    elif field.type in ("str", "int", "bool") and type(value).__name__ == field.type:
        return value
    raise DeviceError(f"device {path}: {field.name} is {value!r}, needs {field.type}")


def _number(value: Any) -> bool:
    return type(value) in (int, float)
