"""Shared set-up: the legacy Keras, quiet TensorFlow, and where the recordings are."""

import fcntl
import os
import pathlib
import tempfile

os.environ["TF_USE_LEGACY_KERAS"] = "1"
# Of a 1x1 kernel with strides oneDNN's filter gradient writes beyond its buffer (2.21).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Where the emulated processor and older runtimes are, if they were ever set up; workers
# get it from the process that started them, whose cache is a run's own by then.
USER_CACHE = os.environ.setdefault(
    "TFLITE_ODL_USER_CACHE",
    os.environ.get("XDG_CACHE_HOME") or str(pathlib.Path.home() / ".cache"),
)
# What a run proves is not taken from the user's cache, nor left there.
_CACHE = tempfile.TemporaryDirectory(prefix="tflite_odl_tests_")
os.environ["XDG_CACHE_HOME"] = _CACHE.name

import pytest

TESTS = pathlib.Path(__file__).parent
RECORDINGS = pathlib.Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def recordings() -> pathlib.Path:
    """The folder of real recordings; for tests marked `data`."""
    return RECORDINGS


# Rooms that need no TensorFlow: their tests come first, for they are over in seconds.
HOST = ("host", "streams", "desk")


# Cases of the contract suite whose parts others have too: for `make test-slow`.
SLOW_CASES = frozenset(
    {
        "contrastive-flip-momentum",
        "distill-int4-adam-cosine",
        "distill-penalized",
        "finetune-centered-rmsprop-warmup",
        "finetune-chunks",
        "finetune-conv3",
        "finetune-head",
        "finetune-mlp",
        "finetune-noisy",
        "finetune-regex",
        "finetune-rmsprop-weights-steps-accumulate",
        "finetune-windows",
        "skip-accumulate",
        "skip-chunks",
        "skip-full",
        "skip-infobatch",
        "skip-int8-serve",
        "skip-keep-skipped",
        "skip-noisy",
        "skip-penalized",
        "skip-recompute",
        "skip-recurrent",
    }
)


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(items):
    """Sorts the tests, and says which of them one worker shall run one after another.

    Those of an artifact go together, so that no worker waits for another's export; the
    others by file, for the sake of their fixtures.
    """
    for item in items:
        if "data" in item.keywords and not RECORDINGS.is_dir():
            item.add_marker(pytest.mark.skip(reason=f"no recordings at {RECORDINGS}"))
        case = getattr(item, "callspec", None) and item.callspec.params.get("artifact")
        if case in SLOW_CASES:
            item.add_marker(pytest.mark.slow)
        group = case or item.path.relative_to(TESTS).with_suffix("").as_posix()
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: item.path.parent.name not in HOST)


@pytest.fixture(scope="session")
def nets():
    """Makes the tiny Keras nets that artifacts are built from, by name."""
    from tests import nets

    return nets


@pytest.fixture(scope="session")
def build(tmp_path_factory, request):
    """Exports each method and net once per run; returns the artifact's folder.

    The workers of a run share them: who comes first makes one, the others wait.
    """
    from tests import nets

    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):  # a worker's own folder, of the run's
        folder = folder.parent
    folder = folder / "artifacts"
    folder.mkdir(exist_ok=True)

    def build(name: str) -> pathlib.Path:
        artifact = folder / name
        with open(folder / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # closing the file lets go
            if not artifact.exists():
                fresh = nets.export_case(name).save(folder / f"{name}.fresh")
                os.rename(fresh, artifact)
        return artifact

    return build
