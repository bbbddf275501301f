"""The page of the skip suite, in Markdown."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Mapping

from tools.skip import cases, figures

ABOUT = """\
Each net learns from fresh weights under every policy, momentum SGD, batch 32, the rate
falling to 0 along a cosine. Each seed has its own weights and order of rows, the same
for all policies. `full` is the method finetune, which skips nothing; `threshold` is the
method with the bound that stands beside it, a decision every epoch or 200 steps and
everything else `--as_published`; `geometric` is the same with the default intervals and
means; `random` skips at the rate that threshold 0.05 reached. All but `geometric`
divide the means of batch norms' backward passes by the whole batch, as published, which
costs them accuracy where much is skipped: part of what sets `geometric` apart, from the
baselines too, is that it does not."""

TIMES = """\
Each artifact's step by the rows that are kept, in the bucket that holds them, relative
to the plain `finetune` step: all take turns in one process, a round's time is the least
of three calls, shown is the median over rounds of the ratio to the plain step's.
Selective and infobatch keep some rows of every batch. Memory: the most resident memory
above import after a step in each bucket, relative to finetune's; glibc's malloc, in
which it was measured, keeps what other buckets have given back."""

SECONDS = """\
Every run takes as many seconds as `full`. Steps with few kept rows are shorter than a
plain one, those with all rows are longer, so a policy may make more steps than `full`
or fewer. Seconds are counted by the times above on one thread, so that other work on
the machine does not matter."""

STEPS = "Every run makes as many steps as `full`."

FIGURES = """\
Accuracy: held out, the mean over seeds, and its difference to `full` of the same seed
with that difference's standard deviation. Skipped: share of the gradient computations;
FLOPs: how many times fewer that could leave at most, forward 1, backward 2."""
COLUMNS = "policy, accuracy, to full, skipped, FLOPs, steps, seconds, seeds".split(", ")

ERRORS = """\
The checkpoints, ten in each run, at which the threshold was below 1: in how many of
them the gradient's relative squared error, measured on held-out rows, was within the
bound, its median, and the median of what the method had estimated."""


def page(results: dict, command: str, plots: Mapping[str, str] | None = None) -> str:
    """Returns the page of {"times", "memory", "records", "skipped", ...}.

    Args:
      results: of the suite.
      command: that made them.
      plots: {case: file}.
    """
    made = f"Machine: {results['machine']}. {', '.join(results['versions'])}."
    parts = [
        "# Back-propagation skipped by a dynamic confidence threshold",
        ABOUT,
        f"    {command}",
        textwrap.fill(made, 88, break_on_hyphens=False),
        "## A step",
        TIMES,
        *(_steps(net, results) for net in results["times"]),
        "## Accuracy",
        FIGURES,
    ]
    for name in dict.fromkeys(r["case"] for r in results["records"]):
        parts += _case(name, results["records"], (plots or {}).get(name))
    if skipped := results["skipped"].items():
        parts += ["## Not measured", "\n".join(f"- {n}: {why}" for n, why in skipped)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _steps(net: str, results: dict) -> str:
    """Returns the table of a net's steps."""
    batch, rows = net.rpartition("-b")[2], _rows(results["times"][net])
    lines = []
    for threads, times in results["times"][net].items():
        plain = times[cases.ALL[0].artifact][batch]
        for name, by_rows in times.items():
            sizes = sorted(by_rows, key=int)
            shares = (figures.share_of_plain(times, name, n, batch) for n in sizes)
            cells = [f"{share:.2f}" for share in shares]
            if name == cases.ALL[0].artifact:
                cells = [f"1 = {statistics.median(plain):.1f} ms"]
            cells = ["-"] * (len(rows) - len(sizes)) + cells
            memory = results["memory"][net]
            more = memory[name] / memory[cases.ALL[0].artifact]
            lines.append([threads, name, *cells, f"{more:.2f}"])
    head = ["threads", "policy", *(f"{n} rows" for n in rows), "memory"]
    return f"**{net}**\n\n" + table(head, lines)


def _rows(times: dict) -> list[str]:
    found = {rows for by in times.values() for t in by.values() for rows in t}
    return sorted(found, key=int)


def _case(name: str, records: list[dict], plot: str | None) -> list[str]:
    case, found = cases.CASES[name], figures.of_case(records, name)
    width = f", width {case.width}" if case.width else ""
    steps = next(iter(next(iter(found.values())).values()))["full_steps"]
    return [
        f"### {name}",
        textwrap.fill(
            f"{case.backbone}{width}, {steps:,} steps of `full`, learning rate "
            f"{case.learning_rate:g}. {SECONDS if case.budget == 'seconds' else STEPS}",
            88,
        ),
        table(
            COLUMNS,
            [_row(found, variant) for variant in found],
        ),
        _errors(found),
        f"![{name}]({plot})" if plot else "",
    ]


def _row(found: dict, variant: str) -> list[str]:
    runs = list(found[variant].values())
    mean = lambda figure: statistics.mean(r[figure] for r in runs)  # noqa: E731
    gains = figures.differences(found, variant, "accuracy")
    spread = f" ± {100 * statistics.stdev(gains):.2f}" if len(gains) > 1 else ""
    saved = statistics.mean(figures.ceiling(r["skipped"]) for r in runs)
    return [
        variant,
        f"{100 * mean('accuracy'):.2f} %",
        f"{100 * statistics.mean(gains):+.2f}{spread}" if gains else "-",
        f"{100 * mean('skipped'):.1f} %",
        f"{saved:.2f} x",
        f"{mean('steps'):,.0f}",
        f"{mean('seconds'):.1f}",
        f"{len(gains)}",
    ]


def _errors(found: dict) -> str:
    lines = []
    for variant, by_seed in found.items():
        bound = next(iter(by_seed.values()))["settings"].get("error_bound")
        if bound is None:
            continue
        pairs = figures.rse_pairs(by_seed)
        within = sum(measured <= bound for _, measured in pairs)
        row = [variant, f"{within} of {len(pairs)}"]
        medians = (statistics.median(v) for v in reversed([*zip(*pairs)]))
        lines.append(row + ([f"{m:.2g}" for m in medians] or ["-", "-"]))
    head = ["policy", "within the bound", "measured", "estimated"]
    return f"{ERRORS}\n\n{table(head, lines)}" if lines else ""


def table(head: list[str], lines: list[list[str]]) -> str:
    """Returns a Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
