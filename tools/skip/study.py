"""The skip suite: every policy from the same weights on the same batches, by seed."""

from __future__ import annotations

import collections
import functools
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator

import cases
import numpy as np

from tflite_odl import models, streams
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.exporter.export import export
from tflite_odl.host.session import Session
from tflite_odl.methods import Skip


def run(
    folder: pathlib.Path,
    names: list[str],
    seeds: int,
    threads: int,
    say: Callable,
    steps: int | None = None,
) -> list[dict]:
    """Returns one record per case, seed and variant; resumes from `folder`.

    Args:
      folder: keeps the artifacts and the records so far.
      names: keys of `cases.CASES`.
      seeds: how many, each with its own weights and order of rows.
      threads: of the CPU kernels.
      say: called with one line of progress at a time.
      steps: of each run; None takes the case's epochs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "records.json"
    records = json.loads(path.read_text()) if path.exists() else []
    for job in _jobs(names, seeds):
        facts = {**job, "threads": threads, "steps": steps}
        if any(all(r[k] == v for k, v in facts.items()) for r in records):
            continue
        records.append({**facts, **_train(folder, records, facts, say)})
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(records, indent=1))
        os.replace(partial, path)
        say(_line(records[-1]))
    return records


def _jobs(names: list[str], seeds: int) -> Iterator[dict]:
    for name in names:
        for seed in range(seeds):
            for variant in cases.VARIANTS:
                yield {"case": name, "seed": seed, "variant": variant}


def _line(record: dict) -> str:
    return (
        f"{record['case']} seed {record['seed']} {record['variant']}: accuracy "
        f"{record['accuracy']:.4f}, skipped {record['skipped']:.3f}, "
        f"{record['seconds']:.1f} s"
    )


def _train(folder: pathlib.Path, records: list[dict], facts: dict, say) -> dict:
    """Returns what one run came to; only the train calls are timed."""
    case, variant = cases.CASES[facts["case"]], cases.VARIANTS[facts["variant"]]
    data = _data(case)
    epoch = max(1, len(data.train) // case.batch)
    steps = facts["steps"] or round(case.epochs * epoch)
    batches = data.train.batches(case.batch, facts["seed"])
    artifact = _artifact(folder, case, variant.policy, say)
    settings = _settings(records, facts, variant, epoch)
    times, rows, skipped = collections.defaultdict(list), 0, 0
    with Session(artifact, threads=facts["threads"]) as session:
        method = _method(case, variant.policy, facts["seed"])
        session.load_state({n: t.value for n, t in method.state().items()})
        session.configure(**settings)
        for _ in range(steps):
            x, y = next(batches)
            start = time.perf_counter()
            metrics = session.train(x=x, y=y)
            kept = int(metrics["kept"][0])
            times[_bucket(method, case, kept)].append(time.perf_counter() - start)
            rows += len(y)
            skipped = int(metrics["skipped_total"][0])
        test = data.test.x[: case.test_rows], data.test.y[: case.test_rows]
        found = session.evaluate(*test)
    return {
        "accuracy": found["accuracy"],
        "loss": found["loss"],
        "skipped": skipped / rows,
        "settings": settings,
        "forward": method.config.forward,
        "seconds": sum(map(sum, times.values())),
        "bucket_ms": {str(n): float(np.median(t)) * 1e3 for n, t in times.items()},
        "bucket_steps": {str(n): len(t) for n, t in times.items()},
    }


def _settings(records, facts: dict, variant: cases.Variant, epoch: int) -> dict:
    if variant.policy == "random":
        name = f"threshold {cases.SAME_RATE_AS:g}"
        wanted = {**facts, "variant": name}
        like = (r for r in records if all(r[k] == v for k, v in wanted.items()))
        return {"skip_rate": min(next(like)["skipped"], 0.99)}
    settings = {variant.setting: variant.value} if variant.setting else {}
    if variant.policy == "threshold":
        settings["update_period"] = float(epoch)
    return settings


def _bucket(method: Skip, case: cases.Case, kept: int) -> int:
    """Returns the rows that backward ran on."""
    sizes = [0, *method.config.bucket_sizes(case.batch)]
    return next(size for size in sizes if kept <= size)


@functools.lru_cache(maxsize=1)
def _data(case: cases.Case):
    return streams.open(case.dataset)


def _method(case: cases.Case, policy: str, seed: int) -> Skip:
    data = _data(case)
    shape, dtype = tuple(data.train.x.shape[1:]), str(data.train.x.dtype)
    net = models.backbone(case.backbone, shape, len(data.classes), seed)
    return Skip(
        net,
        policy=policy,
        seed=seed,
        optimizer="momentum",
        learning_rate=case.learning_rate,
        preprocessing=Preprocessing(dtype, data.scale, data.offset),
    )


def _artifact(folder: pathlib.Path, case: cases.Case, policy: str, say) -> pathlib.Path:
    path = folder / f"{case.name}-{policy}"
    if not path.exists():
        say(f"export {path.name}")
        train = _data(case).train
        sample = train.x[:256], train.y[:256]
        export(_method(case, policy, 0), case.batch, sample=sample).save(path)
    return path
