"""The app itself on a desktop's JVM: Robolectric's Android, TFLite's true library."""

from __future__ import annotations

import pytest

from tests.android import java
from tests.android.needs import needs, pinned
from tools.android import apk, commands, compiling, downloads

APP = compiling.HARNESS / "app"
CONFIG = "com/android/tools/test_config.properties"
RUNTIME = ("tflite", "tflite-api")


@needs("java", "javac", "mvn", "gcc", "aapt2")
@pytest.mark.slow
def test_the_app(files, tmp_path):
    """Screen, service, job, provider and sensors, as AppTest.java asks them."""
    android = "robolectric-android"
    pinned("android", "dx", android, *RUNTIME)
    folder = java.ready()
    apk.linked(tmp_path)
    apk.dexed(tmp_path)
    config = tmp_path / "test" / CONFIG
    config.parent.mkdir(parents=True)
    (tmp_path / "assets").mkdir()
    config.write_text(
        f"android_merged_manifest={tmp_path}/AndroidManifest.xml\n"
        f"android_resource_apk={tmp_path}/linked.apk\n"
        f"android_merged_assets={tmp_path}/assets\n"
        f"android_custom_package={apk.APP}\n"
    )
    jars = [tmp_path / "classes", *map(downloads.classes, RUNTIME)]
    jars += [*downloads.classpath(APP / "pom.xml"), downloads.get("android")]
    sources = [*APP.glob("src/test/**/*.java"), *APP.glob("src/standins/**/*.java")]
    compiling.javac(sources, jars, tmp_path / "test")
    path = ":".join(map(str, [tmp_path / "test", *jars]))
    said = commands.run(
        *("env", f"LD_LIBRARY_PATH={folder}", "java", f"-Djava.library.path={folder}"),
        f"-Dfiles={files}",
        f"-Dpicture={tmp_path / 'screen.png'}",
        "-Drobolectric.offline=true",
        f"-Drobolectric.dependency.dir={downloads.get(android).parent}",
        *("-cp", path, "org.junit.runner.JUnitCore", "org.tfliteodl.app.AppTest"),
    )
    assert "OK (7 tests)" in said
    assert (tmp_path / "screen.png").stat().st_size > 5000


def test_stand_ins_are_of_the_tests_alone():
    """What stands in for androidx.test is not among the app's sources."""
    assert not any("androidx" in str(path) for path in compiling.sources(*apk.PARTS))
