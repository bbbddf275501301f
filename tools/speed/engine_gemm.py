"""The machine's limit: engine_gemm.py CASE THREADS SECONDS NET.

The time that the net's matrix products would take at the rate of one large float32
product. What is not a product (batch norm, relu, depthwise layers, moving data) comes
on top for every engine.
"""

import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = sys.argv[2]  # read when NumPy is imported
import cases
import measuring
import nets
import numpy as np

SIZE = 1536


def main(name: str, threads: int, seconds: float, path: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, SIZE, SIZE)).astype(np.float32)
    out = np.empty_like(a)
    share = nets.product_flops(path, cases.CASES[name].batch) / (2.0 * SIZE**3)

    def multiply() -> float:
        np.matmul(a, b, out=out)
        return 0.0

    result = measuring.measure(multiply, seconds, 0.0)
    times = {key: result[key] * share for key in ("ms", "least_ms")}
    measuring.report({**times, "others": result["others"]})


if __name__ == "__main__":
    main(*measuring.arguments())
