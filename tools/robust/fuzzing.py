"""Runs the fuzz targets in an environment with atheris, and counts their findings."""

from __future__ import annotations

import pathlib
import re
import subprocess

import processes

from tools.robust import kinds

PACKAGES = ("atheris>=3,<4", "numpy", "safetensors")
TARGETS = (
    "seal",
    "signatures",
    "signature",
    "manifest",
    "twin",
    "checkpoint",
    "packed",
    "npz",
    "records",
    "facts",
)
# Which whole file each corpus begins with.
SEEDS = {
    "seal": "bare model",
    "signatures": "bare model",
    "signature": "bare model",
    "manifest": "manifest",
    "checkpoint": "checkpoint",
    "packed": "packed stream",
    "npz": "recording (npz)",
    "records": "records",
    "facts": "run.json",
}
MOST_FILES = 500


def study(target: str, artifact, work: pathlib.Path, seconds: int, say) -> dict:
    """Returns what a target came to in so many seconds."""
    try:
        python = processes.python(work.parent, "atheris", PACKAGES, say)
    except OSError as error:
        return {"target": target, "failed": str(error)}
    folder = work / target
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    if target in SEEDS:
        kind = kinds.prepare(SEEDS[target], artifact, work / "seed")
        (corpus / "whole").write_bytes(kind.file.read_bytes())
    command = [python, "-m", "tools.robust.fuzz", target, str(folder), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    for extra in sorted(corpus.iterdir(), key=lambda p: p.stat().st_size)[MOST_FILES:]:
        extra.unlink()
    found = sorted(p.name for p in folder.glob("finding-*"))
    runs = re.search(r"number_of_executed_units: *(\d+)", done.stderr)
    covered = re.findall(r"cov: (\d+)", done.stderr)
    if runs is None and not found:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"target": target, "failed": last[:200]}
    return {
        "target": target,
        "seconds": seconds,
        "inputs": int(runs[1]) if runs else None,
        "edges": int(covered[-1]) if covered else None,
        "corpus": len(list(corpus.iterdir())),
        "findings": found,
        "how": _last_error(done.stderr) if found else "",
    }


def _last_error(text: str) -> str:
    lines = [line for line in text.splitlines() if re.match(r"\w+(\.\w+)*: ", line)]
    return lines[-1][:200] if lines else "no message"
