"""Shared set-up: the legacy Keras, quiet TensorFlow, and where the recordings are."""

import os
import pathlib
import tempfile

os.environ["TF_USE_LEGACY_KERAS"] = "1"
# Of a 1x1 kernel with strides oneDNN's filter gradient writes beyond its buffer (2.21).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# What a run proves is not taken from the user's cache, nor left there.
_CACHE = tempfile.TemporaryDirectory(prefix="tflite_odl_tests_")
os.environ["XDG_CACHE_HOME"] = _CACHE.name

import pytest

RECORDINGS = pathlib.Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def recordings() -> pathlib.Path:
    """The folder of real recordings; for tests marked `data`."""
    return RECORDINGS


def pytest_collection_modifyitems(items):
    if RECORDINGS.is_dir():
        return
    skip = pytest.mark.skip(reason=f"no recordings at {RECORDINGS}")
    for item in items:
        if "data" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def nets():
    """Makes the tiny Keras nets that artifacts are built from, by name."""
    from tests import nets

    return nets


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """Exports each method and net once per run; returns the artifact's folder."""
    from tests import nets

    made = {}

    def build(name: str) -> pathlib.Path:
        if name not in made:
            folder = tmp_path_factory.mktemp("artifacts") / name
            made[name] = nets.export_case(name).save(folder)
        return made[name]

    return build
