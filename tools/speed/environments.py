"""The engines, and an environment for each that this one cannot hold."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import pathlib

HERE = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Engine:
    """One way to train.

    Attributes:
      name: on the page.
      scripts: its own, then others that it uses.
      packages: pinned, for an environment of its own; without any, ours serves.
      suffix: of the file or folder that its script first makes from a net, if any.
      options: further arguments of its script.
    """

    name: str
    scripts: tuple[str, ...]
    packages: tuple[str, ...] = ()
    suffix: str = ""
    options: tuple[str, ...] = ()

    @property
    def environment(self) -> str:
        return self.scripts[0].removeprefix("engine_")

    @property
    def versions(self) -> tuple[str, ...]:
        """The packages that decide its speed, as name==version."""
        present = ("tensorflow", "ai-edge-litert", "numpy")
        return self.packages or tuple(
            f"{name}=={importlib.metadata.version(name)}" for name in present
        )

    def texts(self) -> list[str]:
        """Returns its own code and its versions: what it makes depends on these."""
        return [*(script(name) for name in self.scripts), *self.versions]


def _ours(name: str, target: str) -> Engine:
    return Engine(name, ("engine_ours",), suffix=f".{target}", options=(target,))


ENGINES = (
    _ours("ours", "portable"),
    _ours("ours, avx512", "avx512"),
    Engine("tf.function", ("engine_tf_function",)),
    Engine("PyTorch", ("engine_pytorch",), ("torch==2.13.0", "numpy>=1.26")),
    Engine(
        "ONNX Runtime",
        ("engine_onnxruntime",),
        ("onnxruntime-training==1.19.2", "onnx==1.16.2", "numpy==1.26.4"),
        suffix=".onnx",
    ),
    Engine("MNN", ("engine_mnn",), ("MNN==3.6.1", "numpy>=1.26")),
    Engine(
        "TFLite + Flex",
        ("engine_flex", "engine_tf_function"),
        ("tensorflow==2.18.1", "tf_keras==2.18.0"),
        suffix=".flex.tflite",
    ),
    Engine("GEMM limit", ("engine_gemm",)),
)
OURS = tuple(e.name for e in ENGINES if e.environment == "ours")
REFERENCE, LIMIT = "tf.function", "GEMM limit"


def script(name: str) -> str:
    """Returns the code of one of the suite's files."""
    return (HERE / f"{name}.py").read_text()


def digest(*texts: str) -> str:
    """Returns a short hash of texts."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
