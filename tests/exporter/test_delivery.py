"""What an artifact weighs when it is delivered."""

import zlib

from tflite_odl import contract
from tflite_odl.exporter import delivery
from tflite_odl.host.artifact import Artifact


def test_sizes_are_of_the_files_as_they_lie_there(build):
    folder = build("finetune-mlp")
    said = Artifact.open(folder).manifest.delivery
    assert set(said) == {contract.MODEL_FILE, contract.SERVING_FILE}
    for name, sizes in said.items():
        content = (folder / name).read_bytes()
        assert sizes["bytes"] == len(content)
        assert sizes["deflate"] == len(zlib.compress(content, 9)) < len(content)


def test_zstd_is_told_where_it_is_installed(monkeypatch):
    class Zstd:
        compress = staticmethod(lambda content, level: content[: 10 - level // 19])

    monkeypatch.setattr(delivery.importlib, "import_module", lambda name: Zstd)
    assert delivery.sizes({"a": bytes(100)})["a"]["zstd"] == 9


def test_without_zstandard_the_rest_is_told(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(delivery.importlib, "import_module", missing)
    assert set(delivery.sizes({"a": b"x"})["a"]) == {"bytes", "deflate"}
