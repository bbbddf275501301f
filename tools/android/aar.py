"""The library as an AAR, and as a Maven folder that a Gradle build can name.

It holds core and library, no runtime: the app chooses between TFLite's and LiteRT's.
The POM names the one that this project is built and tested with.
"""

from __future__ import annotations

import pathlib
import tempfile

import tflite_odl
from tools.android import archives, compiling, downloads

GROUP, ARTIFACT = "org.tfliteodl", "tflite-odl"
PARTS = ("core", "library")
_MANIFEST = (
    '<manifest xmlns:android="http://schemas.android.com/apk/res/android"\n'
    '    package="org.tfliteodl.library">\n'
    f'    <uses-sdk android:minSdkVersion="{compiling.OLDEST_API}" />\n'
    "</manifest>\n"
)
_POM = """<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>{group}</groupId>
  <artifactId>{artifact}</artifactId>
  <version>{version}</version>
  <packaging>aar</packaging>
  <dependencies>
    <dependency>
      <groupId>{runtime[0]}</groupId>
      <artifactId>{runtime[1]}</artifactId>
      <version>{runtime[2]}</version>
      <type>aar</type>
      <scope>compile</scope>
    </dependency>
  </dependencies>
</project>
"""


def build(to: pathlib.Path) -> pathlib.Path:
    """Writes `to`/tflite-odl.aar and the Maven folder `to`/maven; returns the former.

    Raises:
      BuildError: a tool is missing or failed.
    """
    version = tflite_odl.__version__
    aar = to / f"{ARTIFACT}.aar"
    place = to / "maven" / GROUP.replace(".", "/") / ARTIFACT / version
    place.mkdir(parents=True, exist_ok=True)
    archives.write(aar, _entries())
    stem = place / f"{ARTIFACT}-{version}"
    stem.with_name(f"{stem.name}.aar").write_bytes(aar.read_bytes())
    stem.with_name(f"{stem.name}.pom").write_text(pom(version))
    return aar


def pom(version: str) -> str:
    """Returns the POM, whose dependency is the pinned TFLite."""
    runtime = downloads.pins()["tflite"].coordinate.split(":")
    return _POM.format(group=GROUP, artifact=ARTIFACT, version=version, runtime=runtime)


def _entries() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        runtime = [downloads.classes(name) for name in ("tflite", "tflite-api")]
        classpath = [downloads.get("android"), *runtime]
        compiling.javac(compiling.sources(*PARTS), classpath, work / "classes")
        jar = {
            path.relative_to(work / "classes").as_posix(): path.read_bytes()
            for path in (work / "classes").rglob("*.class")
        }
        archives.write(work / "classes.jar", jar)
        return {
            "AndroidManifest.xml": _MANIFEST.encode(),
            "classes.jar": (work / "classes.jar").read_bytes(),
            "R.txt": b"",
        }
