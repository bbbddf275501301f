"""Sets up TFLite's Android runtime for a desktop's Java: its true classes and library.

    python android_harness/desktop/runtime.py [FOLDER]

Gets the runtime's AARs from Maven Central by Maven, takes the Java classes and the
x86-64 library out, and makes the library loadable by glibc: `shim.c` has what it asks
of Android's C library. Prints the folder. Needs Linux on x86-64, Maven and gcc.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import platform
import shutil
import struct
import subprocess
import sys
import zipfile

VERSION = "2.16.1"
AARS = {
    "tensorflow-lite": (
        "34b065817e294e7dd3569504e8b9454938ceae453b6a459da54d5f6e45d3c94e"
    ),
    "tensorflow-lite-api": (
        "885b95bc9e47a4aa5cf8e71523aed9b05e397cfef1ea09773f13fea8b649fcee"
    ),
}
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
LIBRARY, SHIM, DONE = "libtensorflowlite_jni.so", "libb.so", "ready"
TOOLS = ("java", "mvn", "gcc")
HERE = pathlib.Path(__file__).parent
MAVEN_SECONDS = 300

# Of ELF's dynamic section, 64 bits.
_NEEDED, _UNUSED = 1, 0x6FFFFDFF
# Symbols' versions, which name Android's libraries.
_VERSIONS = (0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF)
_SHT_DYNAMIC = 6
# The shim brings libm and libdl, and has what is used of liblog.
_DROPPED = (b"libm.so", b"libdl.so", b"liblog.so")
_RENAMED = {
    b"libc.so": SHIM.encode(),
    b"sysconf": b"xysconf",
    b"fprintf": b"xprintf",
    b"vfprintf": b"xfprintf",
    b"fputc": b"xputc",
    b"fflush": b"xflush",
    b"fwrite": b"xwrite",
}


def missing() -> str:
    """Returns what this machine lacks, "" if nothing."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return "Linux on x86-64"
    return ", ".join(tool for tool in TOOLS if not shutil.which(tool))


def usual_folder() -> pathlib.Path:
    """Returns where it is kept, in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "tflite_odl" / f"android-tflite-{VERSION}"


def set_up(folder: pathlib.Path) -> None:
    """Makes the folder: `classes-*.jar`, the library, the shim.

    Raises:
      RuntimeError: a tool is missing, Maven fails, or an AAR is not the expected one.
    """
    if lacking := missing():
        raise RuntimeError(f"needs {lacking}")
    done = folder / DONE
    if done.exists() and done.read_text() == _stamp():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, sha256 in AARS.items():
        with zipfile.ZipFile(_aar(folder, name, sha256)) as aar:
            (folder / f"{name}.jar").write_bytes(aar.read("classes.jar"))
            if name == "tensorflow-lite":
                library = aar.read(f"jni/x86_64/{LIBRARY}")
    (folder / LIBRARY).write_bytes(for_glibc(library))
    flags = ["-shared", "-fPIC", "-O1", "-Wl,--no-as-needed", f"-Wl,-soname,{SHIM}"]
    source = str(HERE / "shim.c")
    _run(["gcc", *flags, "-o", str(folder / SHIM), source, "-lm", "-ldl"])
    done.write_text(_stamp())


def _stamp() -> str:
    """Returns what the folder is made of."""
    sources = [HERE / "shim.c", pathlib.Path(__file__)]
    content = b"".join(path.read_bytes() for path in sources)
    return hashlib.sha256(content).hexdigest()


def _aar(folder: pathlib.Path, name: str, sha256: str) -> pathlib.Path:
    path = folder / f"{name}-{VERSION}.aar"
    if not path.exists():
        what = f"-Dartifact=org.tensorflow:{name}:{VERSION}:aar"
        _run(["mvn", "-q", "-B", COPY, what, f"-DoutputDirectory={folder}"])
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        path.unlink()
        raise RuntimeError(f"{path.name} has sha256 {found}, expected {sha256}")
    return path


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=MAVEN_SECONDS, check=False
    )
    if done.returncode:
        raise RuntimeError(
            f"{command[0]} failed: {(done.stdout + done.stderr)[-2000:]}"
        )


def for_glibc(library: bytes) -> bytes:
    """Returns an Android library of 64 bits as glibc can load it, beside the shim.

    Its symbols lose their versions, some names become others of the same length, and of
    the libraries it needs the shim alone is left.

    Raises:
      RuntimeError: it is not built as expected.
    """
    out = bytearray(library)
    (sections,) = struct.unpack_from("<Q", out, 40)
    (count,) = struct.unpack_from("<H", out, 60)
    headers = [
        struct.unpack_from("<IIQQQQIIQQ", out, sections + 64 * n) for n in range(count)
    ]
    dynamic = next(header for header in headers if header[1] == _SHT_DYNAMIC)
    names, size = headers[dynamic[6]][4:6]
    for old, new in _RENAMED.items():
        at = out.find(b"\0" + old + b"\0", names, names + size)
        if at < 0:
            raise RuntimeError(f"the library has no name {old!r}")
        out[at + 1 : at + 1 + len(old)] = new
    for at in range(dynamic[4], dynamic[4] + dynamic[5], 16):
        tag, value = struct.unpack_from("<qQ", out, at)
        name = bytes(out[names + value :].split(b"\0", 1)[0]) if tag == _NEEDED else b""
        if tag in _VERSIONS or name in _DROPPED:
            struct.pack_into("<qQ", out, at, _UNUSED, 0)
    return bytes(out)


def command(folder: pathlib.Path, classes: pathlib.Path) -> list[str]:
    """Returns what runs the core's command line on the runtime of a folder.

    Args:
      folder: that `set_up` has made.
      classes: of the core, a folder or a JAR.
    """
    jars = [str(folder / f"{name}.jar") for name in AARS]
    path = os.pathsep.join([str(classes), *jars])
    java = ["java", f"-Djava.library.path={folder}", "-Xmx256m", "-XX:+UseSerialGC"]
    library = f"LD_LIBRARY_PATH={folder}"
    return ["env", library, *java, "-cp", path, "org.tfliteodl.commands.Main"]


def main() -> None:
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else usual_folder()
    try:
        set_up(folder)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"cannot set up the Android runtime: {error}")
    print(folder)


if __name__ == "__main__":
    main()
