"""Sets up the emulated processor: qemu-user, an arm64 Python, and LiteRT's arm64 wheel.

Debian's packages are unpacked into a folder, nothing is installed and no root rights
are needed. Everything in the folder is what the machine's own release has, so that it
fits together; the host's libraries are not used.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from tflite_odl.desk import setups
from tflite_odl.desk.arm import cores
from tflite_odl.errors import DeviceError

# Part of the folder's name: a change of what is put there makes a new one.
LAYOUT = 1
GUEST = ("python3-minimal", "libpython3-stdlib", "libgomp1", "libstdc++6")
WHEELS = ("ai-edge-litert", "numpy", "safetensors")
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux2014", "manylinux_2_17")
TOOLS = ("apt-get", "dpkg-deb", "cc")
MOST_SECONDS = 900


@dataclasses.dataclass(frozen=True)
class Emulator:
    """An emulated processor that is ready to run Python.

    Attributes:
      home: the folder that `ready` made.
      core: whose kernels XNNPACK chooses.
    """

    home: pathlib.Path
    core: cores.Core = cores.CORES["a76"]

    def command(self, *arguments: object, plugin: str = "") -> list[str]:
        """Returns the command that runs the guest's Python with these arguments.

        Args:
          arguments: as after `python`.
          plugin: options of the counting plugin, `name=value,...`; none counts nothing.
        """
        host, root = self.home / "host", self.root
        libraries = ":".join(str(host / part) for part in _LIBRARIES)
        paths = os.pathsep.join(map(str, (self.home / "site", _PACKAGE.parent)))
        variables = {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "LD_LIBRARY_PATH": ""}
        return [
            str(host / "lib64/ld-linux-x86-64.so.2"),
            *("--library-path", libraries, str(host / "usr/bin/qemu-aarch64")),
            *("-cpu", "neoverse-n1", "-L", str(root)),
            *(("-plugin", f"{self.home / 'count.so'},{plugin}") if plugin else ()),
            *(part for item in variables.items() for part in ("-E", "=".join(item))),
            str(root / "usr/bin/python3"),
            *map(str, arguments),
        ]

    @property
    def root(self) -> pathlib.Path:
        """Returns the guest's root, whose /proc/cpuinfo names the core."""
        return self.home / "cores" / self.core.name


def usual_home(cache: str | os.PathLike | None = None) -> pathlib.Path:
    """Returns the folder for it in a cache: `$XDG_CACHE_HOME`, or `~/.cache`."""
    wheels = "-".join(map(importlib.metadata.version, WHEELS))
    return setups.usual(f"arm64-{LAYOUT}-{wheels}", cache)


def ready(
    core: str = "a76",
    home: pathlib.Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Emulator:
    """Returns the emulator, set up if need be: 160 MB, some ten seconds.

    Args:
      core: a name of `cores.CORES`.
      home: where it is or shall be; None takes `usual_home`.
      say: told what is being done, if anything.

    Raises:
      DeviceError: it cannot be had here; says what is missing.
    """
    if core not in cores.CORES:
        raise DeviceError(f"no core {core!r}, there are {', '.join(cores.CORES)}")
    home = home or usual_home()
    if not home.is_dir():
        _check_host()
        say(f"set up an emulated ARM64 processor in {home}")
    setups.made(home, _make)
    return Emulator(home, cores.CORES[core])


_PACKAGE = pathlib.Path(__file__).parents[2]
_LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")


def _check_host() -> None:
    if platform.machine() != "x86_64":
        raise DeviceError(
            f"ARM64 is emulated on x86_64 machines only, this is {platform.machine()}"
        )
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise DeviceError(
            f"an emulated ARM64 processor needs {', '.join(missing)}: Debian or Ubuntu "
            "with a C compiler (apt install gcc)"
        )


def _make(home: pathlib.Path) -> None:
    _unpack("amd64", ("qemu-user",), home / "host", home / "apt")
    _unpack("arm64", GUEST, home / "root", home / "apt")
    for name, core in cores.CORES.items():
        root = home / "cores" / name
        shutil.copytree(home / "root", root, symlinks=True, copy_function=os.link)
        (root / "proc").mkdir()
        (root / "proc" / "cpuinfo").write_text(core.cpuinfo(os.cpu_count() or 1))
    shutil.rmtree(home / "root")
    shutil.rmtree(home / "apt")
    _wheels(home / "site", _python_version(home))
    source = pathlib.Path(__file__).with_name("count.c")
    _run("cc", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-o")(
        home / "count.so", source
    )


def _unpack(
    architecture: str, names: Sequence[str], to: pathlib.Path, work: pathlib.Path
) -> None:
    """Unpacks Debian packages and all they need into a folder."""
    shutil.rmtree(work, ignore_errors=True)
    for part in ("lists/partial", "archives/partial"):
        (work / part).mkdir(parents=True)
    (work / "status").touch()
    (work / "conf").write_text(
        f'APT::Architecture "{architecture}";\n'
        f'APT::Architectures {{ "{architecture}"; }};\n'
        f'Dir::State "{work}";\nDir::State::lists "{work}/lists";\n'
        f'Dir::State::status "{work}/status";\n'
        f'Dir::Cache "{work}";\nDir::Cache::archives "{work}/archives";\n'
    )
    variables = {"APT_CONFIG": str(work / "conf")}
    _run("apt-get", "update", "-qq", variables=variables)()
    only = ("--download-only", "--no-install-recommends")
    _run("apt-get", "-y", "-qq", *only, "install", variables=variables)(*names)
    to.mkdir()
    for archive in sorted((work / "archives").glob("*.deb")):
        _run("dpkg-deb", "-x")(archive, to)


def _python_version(home: pathlib.Path) -> str:
    """Returns the guest's version of Python, as 3.11."""
    python = home / "cores" / "a76" / "usr/bin/python3"
    found = re.fullmatch(r"python(3\.\d+)", os.path.basename(os.readlink(python)))
    if found is None:
        raise DeviceError(f"{python} leads to {os.readlink(python)!r}, not to Python 3")
    return found[1]


def _wheels(site: pathlib.Path, python: str) -> None:
    """Installs the arm64 wheels of the versions that are installed here."""
    wanted = [f"{name}=={importlib.metadata.version(name)}" for name in WHEELS]
    platforms = [part for p in PLATFORMS for part in ("--platform", f"{p}_aarch64")]
    _run(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check")(
        *("--only-binary=:all:", "--python-version", python, "--implementation", "cp"),
        *platforms,
        *("--target", site, *wanted),
    )


def _run(*command: str, variables: Mapping[str, str] | None = None) -> Callable:
    """Returns what runs the command with further arguments.

    Raises:
      DeviceError: with the last lines of what it wrote.
    """

    def run(*arguments: object) -> None:
        whole = [*command, *map(str, arguments)]
        try:
            done = subprocess.run(
                whole,
                capture_output=True,
                text=True,
                env={**os.environ, **(variables or {})},
                timeout=MOST_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DeviceError(f"cannot run {whole[0]}: {error}") from error
        if done.returncode:
            last = " ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
            raise DeviceError(f"{' '.join(whole[:3])} ... failed: {last[:400]}")

    return run
