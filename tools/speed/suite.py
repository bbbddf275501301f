"""The speed suite: one training step on each engine, interleaved, fresh processes."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import cases
import numpy as np

HERE = pathlib.Path(__file__).parent
FLEX_PACKAGES = ("tensorflow==2.18.1", "tf_keras==2.18.0")
ENGINES = ("ours", "ours-avx512", "tf.function", "flex")
SECONDS = 3.0


def run(
    folder: pathlib.Path,
    names: list[str],
    threads: list[int],
    rounds: int,
    say: Callable,
) -> list[dict]:
    """Returns one record per engine, case, threads and round; resumes from `folder`.

    Args:
      folder: keeps environments, models, and the records so far.
      names: keys of `cases.CASES`.
      threads: numbers of threads to measure with.
      rounds: interleaved repetitions.
      say: called with one line of progress at a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "records.json"
    records = json.loads(path.read_text()) if path.exists() else []
    done = {_key(record) for record in records}
    pythons = _environments(folder, say)
    for job in _jobs(names, threads, rounds):
        if _key(job) in done or job["engine"] not in pythons:
            continue
        result = _worker(pythons[job["engine"]], folder, job, say)
        records.append({**job, **result})
        path.write_text(json.dumps(records, indent=1))
        say(f"{_key(job)}: {result.get('ms', result)}")
    return records


def _jobs(names: list[str], threads: list[int], rounds: int) -> Iterator[dict]:
    for number in range(rounds):
        for name in names:
            for count in threads:
                for engine in ENGINES:
                    job = {"case": name, "threads": count, "engine": engine}
                    yield {**job, "round": number}


def _key(record: dict) -> str:
    return " ".join(str(record[k]) for k in ("case", "threads", "engine", "round"))


def _environments(folder: pathlib.Path, say: Callable) -> dict[str, str]:
    """Returns {engine: python}; an engine whose environment fails is left out."""
    found = dict.fromkeys(ENGINES[:3], sys.executable)
    python = folder / "flex" / "bin" / "python"
    if not (folder / "flex" / "ready").exists():
        say(f"making an environment with {FLEX_PACKAGES}")
        subprocess.run([sys.executable, "-m", "venv", folder / "flex"], check=True)
        command = [python, "-m", "pip", "install", "-q", *FLEX_PACKAGES]
        if subprocess.run(command, capture_output=True).returncode:
            say(f"flex is skipped: {FLEX_PACKAGES} cannot be installed here")
            return found
        (folder / "flex" / "ready").touch()
    return {**found, "flex": str(python)}


def _worker(python: str, folder: pathlib.Path, job: dict, say: Callable) -> dict:
    engine, case = job["engine"], cases.CASES[job["case"]]
    script = engine.partition("-")[0].replace(".", "_")
    target = "avx512" if engine.endswith("avx512") else "portable"
    source = _weights(folder, case)
    if script == "ours":
        source = _artifact(folder, case, target, say)
    threads = job["threads"]
    command = [python, HERE / f"engine_{script}.py", case.name, str(threads)]
    if engine == "flex":  # converting in its own process keeps it out of the memory
        subprocess.run([*command, "0", source], capture_output=True, env=_quiet())
    command += [str(SECONDS), source]
    done = subprocess.run(command, capture_output=True, text=True, env=_quiet())
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return {"error": done.stderr.strip()[-300:]}
    return json.loads(lines[-1])


def _quiet() -> dict[str, str]:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1"}
    return {**os.environ, **quiet, "PYTHONPATH": str(HERE.parents[1])}


def _weights(folder: pathlib.Path, case: cases.Case) -> str:
    """Returns the file of the weights that every engine starts from."""
    path = folder / f"{case.name}.npz"
    if not path.exists():
        from tflite_odl import models

        options = dict(case.options)
        net = models.backbone(case.backbone, case.shape, cases.CLASSES, **options)
        np.savez(path, *net.get_weights())
    return str(path)


def _artifact(folder: pathlib.Path, case: cases.Case, target: str, say) -> str:
    path = folder / f"{case.name}-{target}"
    if not path.exists():
        from tflite_odl.exporter.export import export
        from tflite_odl.methods import Finetune

        say(f"export {path.name}")
        net = cases.keras_model(case, _weights(folder, case))
        rate = cases.LEARNING_RATE
        method = Finetune(net, learning_rate=rate, target=target)
        export(method, case.batch).save(path)
    return str(path)


def page(records: list[dict], command: str) -> str:
    """Returns the results as a page: medians, and medians of same-round ratios."""
    lines = [
        "# Speed of a training step",
        "",
        "Forward, backward and SGD of all weights, float32, batch statistics, the "
        "same Keras weights and batch. Medians in ms; in brackets the median of "
        "ratios of ours (the better plan) to that engine in the same round. Memory "
        "is the peak above import of the first round. Losses agree: the relative "
        "spread of the first two losses over the engines (MobileNetV2's second is "
        "chaotic: TensorFlow parts from itself as far when its input is off by 1e-6).",
        "",
        f"Machine: {machine()}. flex: {', '.join(FLEX_PACKAGES)}. ONNX Runtime "
        "training, MNN and PyTorch are not measured yet.",
        "",
        f"    {command}",
        "",
        "| case | threads | " + " | ".join(ENGINES) + " | memory MB: "
        "ours / tf.function / flex | losses agree |",
        "|---|---|" + "---|" * (len(ENGINES) + 2),
    ]
    keys = sorted({(r["case"], r["threads"]) for r in records})
    return "\n".join([*lines, *(_row(records, *key) for key in keys), ""])


def machine() -> str:
    """Returns the processor and the versions that were measured."""
    with open("/proc/cpuinfo") as file:
        found = (line.split(":")[1].strip() for line in file if "model name" in line)
        name = next(found, "unknown processor")
    packages = ("tensorflow", "ai-edge-litert", "numpy")
    versions = (f"{p} {importlib.metadata.version(p)}" for p in packages)
    return f"{name}, {os.cpu_count()} cores; {', '.join(versions)}"


def _row(records: list[dict], case: str, threads: int) -> str:
    rows = [r for r in records if (r["case"], r["threads"]) == (case, threads)]
    found = {(r["engine"], r["round"]): r for r in rows if "ms" in r}
    rounds = sorted({r["round"] for r in rows})
    cells = []
    for engine in ENGINES:
        times = [found[engine, n]["ms"] for n in rounds if (engine, n) in found]
        if not times:
            cells.append("failed")
            continue
        ratios = [
            min(found[e, n]["ms"] for e in ENGINES[:2]) / found[engine, n]["ms"]
            for n in rounds
            if all((e, n) in found for e in (*ENGINES[:2], engine))
        ]
        ratio = f" ({np.median(ratios):.2f})" if engine not in ENGINES[:2] else ""
        cells.append(f"{np.median(times):.1f}{ratio}")
    engines = ("ours", "tf.function", "flex")
    memory = [found.get((e, rounds[0]), {}).get("memory_mb") for e in engines]
    shown = " / ".join("-" if m is None else f"{m:.0f}" for m in memory)
    losses = [r["losses"][:2] for r in found.values()]
    spread = np.ptp(np.array(losses), axis=0) / np.abs(losses[0])
    agree = f"{spread[0]:.0e}, {spread[1]:.0e}"
    return f"| {case} | {threads} | {' | '.join(cells)} | {shown} | {agree} |"
