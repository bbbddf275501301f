"""A real adb daemon without a phone: Debian's, unpacked into a folder of the cache."""

from __future__ import annotations

import fcntl
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping

import pytest

from tests.conftest import USER_CACHE

# The first Debian that has it.
SUITE = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
ROOT = pathlib.Path(USER_CACHE) / "tflite_odl" / f"adbd-{SUITE}-1"
TOOLS = ("unshare", "chroot", "ip", "apt-get", "dpkg-deb")
SCRIPT = pathlib.Path(__file__).with_name("adbd.sh")


def ready() -> pathlib.Path:
    """Returns the folder; skips, by name, where it cannot be had."""
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if lacking or os.geteuid() != 0:
        pytest.skip(f"a real adbd needs {', '.join(lacking) or 'root rights'}")
    if subprocess.run(["unshare", "-n", "-m", "true"], check=False).returncode:
        pytest.skip("a real adbd needs `unshare -n -m`, which is not allowed here")
    ROOT.parent.mkdir(parents=True, exist_ok=True)
    with open(ROOT.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # closing the file lets go
        if not ROOT.exists():
            with tempfile.TemporaryDirectory(dir=ROOT.parent) as work:
                try:
                    _make(pathlib.Path(work))
                except subprocess.CalledProcessError as error:
                    pytest.skip(f"no adbd can be unpacked: {error.stderr[-200:]}")
                os.rename(pathlib.Path(work) / "root", ROOT)
    return ROOT


def _make(work: pathlib.Path) -> None:
    mirror = _run(
        *("apt-get", "indextargets", "Created-By: Packages", "Origin: Debian"),
        *("--format", "$(REPO_URI)"),
    ).split()
    if not mirror:
        raise subprocess.CalledProcessError(1, "apt-get", stderr="no Debian mirror")
    for part in ("lists/partial", "archives/partial"):
        (work / part).mkdir(parents=True)
    (work / "status").touch()
    source = f"deb [signed-by={KEYRING}] {mirror[0]} {SUITE} main\n"
    (work / "sources.list").write_text(source)
    (work / "conf").write_text(
        f'Dir::Etc::sourcelist "{work}/sources.list";'
        'Dir::Etc::sourceparts "/dev/null";'
        f'Dir::State "{work}"; Dir::State::lists "{work}/lists";'
        f'Dir::State::status "{work}/status";'
        f'Dir::Cache "{work}"; Dir::Cache::archives "{work}/archives";'
    )
    variables = {"APT_CONFIG": str(work / "conf")}
    _run("apt-get", "update", "-qq", variables=variables)
    only = ("-y", "-qq", "--download-only", "--no-install-recommends")
    _run("apt-get", *only, "install", "adbd", "busybox-static", variables=variables)
    root = work / "root"
    root.mkdir()
    for archive in sorted((work / "archives").glob("*.deb")):
        _run("dpkg-deb", "-x", archive, root)
    _furnish(root)


def _furnish(root: pathlib.Path) -> None:
    """Makes what a device has: a shell and its commands, links, folders to mount."""
    for name in ("bin", "lib", "lib64", "sbin"):
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    for name in ("proc", "dev", "host", "tmp", "data/local/tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "usr/bin/runner").touch()
    _run("chroot", root, "/usr/bin/busybox", "--install", "-s", "/usr/bin")


def _run(*command: object, variables: Mapping[str, str] | None = None) -> str:
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env={**os.environ, **(variables or {})},
    ).stdout


def beside(runner: pathlib.Path, *command: object, home: pathlib.Path):
    """Runs a command beside the daemon; `runner` is the device's own command."""
    import adbutils

    variables = {"ADB": adbutils.adb_path(), "HOME": str(home), "ADB_VENDOR_KEYS": ""}
    whole = ["unshare", "-n", "-m", "sh", SCRIPT, ready(), runner, *command]
    return subprocess.run(
        list(map(str, whole)),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **variables},
    )
