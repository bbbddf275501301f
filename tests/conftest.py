"""Shared set-up: the legacy Keras, quiet TensorFlow, and where the recordings are."""

import os
import pathlib

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

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
