"""The coverage suite's page, in Markdown, from its records."""

from __future__ import annotations

import collections
import statistics
import textwrap
from collections.abc import Iterable

from tools.coverage import designs_page

TITLES = {
    "models": "Backbones of `tflite_odl.models`",
    "applications": "`tf_keras.applications`",
}

ABOUT = """\
Each model exported with all its weights trained, batch statistics and SGD, 10 classes,
in a process of its own; then its train step timed on two threads in LiteRT's
interpreter. A row without a cause passed the parity gate, which compares every
signature on both runtimes with Keras in float64."""

COLUMNS = """\
- ops: of the train signature, its branches included; partitions: how many XNNPACK makes
  of them, and the ops of the largest.
- conversion: seconds from the Keras model to the artifact, those of the gate among
  them, CPU seconds of the whole, and the process' peak of memory.
- error: the worst tensor after a step on either runtime, relative to its update; beside
  it Keras' own float32. Batches: how many the gate tried for those it compares;
  more than four where a relu's input was within a rounding of zero.
- memory: of a train call, as the manifest predicts it."""

SPLITS = """\
Ops that stand between two that XNNPACK takes. Those of every model look at labels and
rows: a bad row must be known before its pixels are replaced by zeros, and XNNPACK has
neither comparisons nor integers. So the least is two partitions: sums over the pixels
of each row, beside what depends on the weights alone, and the step itself; and one
where pixels are uint8, which cannot be bad. Below, what stands between."""

HEAD = (
    "model, rows",
    "parameters",
    "ops",
    "partitions, largest",
    "Flex ops",
    "conversion s, gate, CPU",
    "peak MB",
    "error, Keras'",
    "batches",
    "artifact MB",
    "memory MB",
    "step ms",
)


def page(results: dict, command: str) -> str:
    """Returns the page of {"records", "machine", "versions"}."""
    designs = [r for r in results["records"] if "group" in r["case"]]
    records = [r for r in results["records"] if "group" not in r["case"]]
    proven = [r for r in records if "cause" not in r]
    parts = ["# Which models learn", ABOUT, f"    {command}", _made(results), COLUMNS]
    for source, title in TITLES.items():
        rows = [_row(r) for r in proven if r["case"]["source"] == source]
        if rows:
            parts += [f"## {title}", table(HEAD, rows)]
    if designs:
        shown = table(designs_page.HEAD, designs_page.rows(designs))
        parts += [f"## {designs_page.TITLE}", designs_page.ABOUT]
        parts += [designs_page.summary(designs), shown]
    if proven:
        parts += ["## Where the time of a conversion goes", _stages(proven)]
        parts += ["## What splits the train step", SPLITS, _splits(proven)]
    failed = designs_page.failures(designs)
    parts.append("## Not converted")
    if len(proven) < len(records) or not failed:
        parts.append(_failures(records))
    if failed:
        parts.append(table(("model", "saved by", "cause"), failed))
    return "\n\n".join(parts) + "\n"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), ["---"] * len(list(head)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _made(results: dict) -> str:
    libraries = {record["library"] for record in results["records"]}
    text = f"Machine: {results['machine']}. {', '.join(results['versions'])}."
    if len(libraries) > 1:
        text += f" Rows were made by {len(libraries)} states of the library's sources."
    return textwrap.fill(text, 88, break_on_hyphens=False)


def _row(record: dict) -> list[str]:
    stages, case = record["conversion_s"], record["case"]
    seconds = (sum(stages.values()), stages["prove"], record["conversion_cpu_s"])
    return [
        f"{record['name']}, {case['batch']} x {_shape(case['shape'])}",
        f"{record['parameters']:,}",
        f"{record['train_ops']:,}",
        f"{len(record['partitions'])}, {max(record['partitions']):,}",
        str(record["flex_ops"]),
        ", ".join(f"{value:.0f}" for value in seconds),
        f"{record['conversion_mb']:,.0f}",
        f"{record['error']:.0e}, {record['tensorflow_error']:.0e}",
        str(record["tried"]),
        f"{record['artifact_mb']:.2f}",
        f"{record['memory_mb']:,.0f}",
        f"{record['ms']:,.1f}",
    ]


def _stages(records: list[dict]) -> str:
    """Returns the median share of each stage."""
    shares = collections.defaultdict(list)
    for record in records:
        stages = record["conversion_s"]
        for name, seconds in stages.items():
            shares[name].append(100 * seconds / sum(stages.values()))
    found = (f"{name} {statistics.median(v):.0f} %" for name, v in shares.items())
    return textwrap.fill(f"In the median: {', '.join(found)}.", 88)


def _splits(records: list[dict]) -> str:
    """Returns what splits every model's step, then each model's own."""
    counts = [collections.Counter(record["breaks"]) for record in records]
    common = counts[0]
    for count in counts:
        common = common & count
    lines = [f"Every model: {_ops(common)}."] if common else []
    own = collections.defaultdict(list)
    for record, count in zip(records, counts):
        own[_ops(count - common)].append(record["name"])
    lines += [f"{ops}: {'; '.join(names)}." for ops, names in own.items() if ops]
    return "\n\n".join(textwrap.fill(line, 88) for line in lines)


def _ops(count: collections.Counter) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(count.items()))


def _failures(records: list[dict]) -> str:
    rows = [[r["name"], r["cause"]] for r in records if "cause" in r]
    return table(("model", "cause"), rows) if rows else "Every model was converted."


def _shape(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))
