"""Our artifact through LiteRT: engine_ours.py CASE THREADS SECONDS ARTIFACT."""

import sys

import cases

from tflite_odl.host.session import Session


def main(name: str, threads: str, seconds: str, artifact: str) -> None:
    before = cases.resident_mb()
    x, y = cases.data(cases.CASES[name])
    with Session(artifact, threads=int(threads)) as session:
        cases.measure(
            lambda: session.train(x=x, y=y)["loss"][0], float(seconds), before
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
