"""What an APK must keep to, read from the APK itself."""

from __future__ import annotations

import io
import pathlib
import re
import zipfile
from typing import Any

from elftools.elf.elffile import ELFFile

from tools.android import apk, archives, commands, dexfile, downloads
from tools.android.commands import BuildError

MOST_BYTES_PER_ABI = 6 * 2**20
PAGE_BYTES = archives.PAGE_BYTES
# Java 8's own, which javac has looked up; android.jar is without them. Of the others,
# as java.lang.management, Android has none.
_JAVA = re.compile(
    r"java/(io|lang(/annotation|/invoke|/ref|/reflect)?|math|net|nio(/[a-z/]+)?|"
    r"security(/[a-z/]+)?|text|time(/[a-z]+)?|util(/[a-z/]+)?)/[A-Z][^/]*"
)


def check(path: pathlib.Path) -> dict[str, Any]:
    """Returns what an APK is, as JSON has it.

    `libraries` reports each native library by itself: the pages it was linked for, and
    where in the archive it begins. Pages of 4 KB are told, not refused: they are the
    runtime's own.

    Raises:
      BuildError: its signature does not hold, a class is not found, it is not aligned,
        it may use the network or be backed up, or is too large.
    """
    signature = commands.run("apksigner", "verify", "--verbose", path)
    schemes = re.findall(r"using (v\d) scheme .*: true", signature)
    commands.run("zipalign", "-c", "-p", "4", path)
    report = {
        "apk": str(path),
        "bytes": path.stat().st_size,
        "schemes": schemes,
        "bytes_per_abi": _sizes(path),
        "classes": _classes(path),
        "libraries": _libraries(path),
        **_declared(path),
    }
    judge(report)
    return report


def judge(report: dict[str, Any]) -> None:
    """Raises BuildError if what `check` found breaks a rule."""
    path = report["apk"]
    if lost := report["classes"]["unresolved"]:
        raise BuildError(f"{path}: classes that are nowhere: {', '.join(lost[:8])}")
    for abi, size in report["bytes_per_abi"].items():
        if size > MOST_BYTES_PER_ABI:
            raise BuildError(
                f"{path}: {size} bytes for {abi} without the artifact, at most "
                f"{MOST_BYTES_PER_ABI} were wanted"
            )
    if "android.permission.INTERNET" in report["permissions"]:
        raise BuildError(f"{path} asks for the network")
    if report["allow_backup"]:
        raise BuildError(f"{path} lets the system back up what was learned")
    for library in report["libraries"]:
        if library["offset"] % PAGE_BYTES:
            raise BuildError(f"{path}: {library['name']} is not on a page boundary")


def _sizes(path: pathlib.Path) -> dict[str, int]:
    """Returns for each ABI what an APK of it alone has, without artifact and stream."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    size = path.stat().st_size
    size -= sum(e.compress_size for e in entries if e.filename.startswith("assets/"))
    by_abi: dict[str, int] = {}
    for entry in entries:
        if entry.filename.startswith(apk.LIBRARIES):
            abi = entry.filename.split("/")[1]
            by_abi[abi] = by_abi.get(abi, 0) + entry.compress_size
    return {abi: size - sum(by_abi.values()) + own for abi, own in by_abi.items()}


def _classes(path: pathlib.Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        found = dexfile.read(archive.read("classes.dex"))
    return {"defined": len(found.defined), "unresolved": unresolved(found)}


def unresolved(found: dexfile.Classes) -> list[str]:
    """Returns the classes a dex file names that neither it nor Android has."""
    with zipfile.ZipFile(downloads.get("android")) as framework:
        known = {name.removesuffix(".class") for name in framework.namelist()}
    lost = found.named - found.defined - known
    return sorted(name for name in lost if not _JAVA.fullmatch(name))


def _libraries(path: pathlib.Path) -> list[dict[str, Any]]:
    offsets = archives.offsets(path)
    found = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".so"):
                pages = page_bytes(archive.read(name))
                about = {"name": name, "page_bytes": pages, "offset": offsets.get(name)}
                found.append({**about, "fits_16_kb_pages": pages >= PAGE_BYTES})
    return found


def page_bytes(library: bytes) -> int:
    """Returns the pages a library was linked for: the least alignment of its segments.

    It is what `readelf -lW` prints last on each line LOAD.
    """
    segments = ELFFile(io.BytesIO(library)).iter_segments("PT_LOAD")
    return min(segment["p_align"] for segment in segments)


def _declared(path: pathlib.Path) -> dict[str, Any]:
    """Returns what the manifest in the APK asks for, as aapt2 reads it."""
    asked = commands.run("aapt2", "dump", "permissions", path)
    tree = commands.run(
        "aapt2", "dump", "xmltree", "--file", "AndroidManifest.xml", path
    )
    backup = re.search(r"allowBackup\([^)]*\)=(\w+)", tree)
    return {
        "permissions": re.findall(r"uses-permission: name='([^']+)'", asked),
        "allow_backup": backup is None or backup[1] != "false",
    }
