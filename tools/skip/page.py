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
everything else by default; `geometric` is the same with `--spacing=geometric
--norm_means=kept`; `random` skips at the rate that threshold 0.05 reached."""

TIMES = """\
Medians of nine rounds in which the artifacts take turns in one process, relative to the
plain `finetune` step of the same round. The bucket is chosen by labelling so many rows.
Shared: kept rows' activations are gathered; recompute: these rows are forwarded again.
Memory: most resident memory above import, relative to finetune's."""

SECONDS = """\
Every run takes as many seconds as `full`; steps that skip are shorter, so there are
more of them. Seconds are the times above on one thread, so that other work on the
machine does not matter."""

STEPS = "Every run makes as many steps as `full`."

COLUMNS = """\
Accuracy: held out, the mean over seeds, and its difference to `full` of the same seed
with that difference's standard deviation. Skipped: share of the gradient computations;
FLOPs: how many times fewer that could leave at most, forward 1, backward 2."""

ERRORS = """\
Of the checkpoints at which rows were skipped: how often the gradient's relative squared
error, measured on held-out rows, was within the bound, its median, and the median of
what the method had estimated."""


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
        COLUMNS,
    ]
    for name in dict.fromkeys(r["case"] for r in results["records"]):
        parts += _case(name, results["records"], (plots or {}).get(name))
    skipped = results["skipped"].items()
    parts += ["## Not measured", "\n".join(f"- {n}: {why}" for n, why in skipped)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _steps(net: str, results: dict) -> str:
    """Returns the table of a net's steps."""
    batch = net.rpartition("-b")[2]
    lines = []
    for threads, times in results["times"][net].items():
        plain = times[cases.ALL[0].artifact][batch]
        for name, by_rows in times.items():
            sizes = sorted(by_rows, key=int)
            shares = (figures.share_of_plain(times, name, n, batch) for n in sizes)
            cells = [f"{share:.2f}" for share in shares]
            if len(sizes) == 1:
                cells = ["-"] * 3 + [f"1 = {statistics.median(plain):.1f} ms"]
            memory = results["memory"][net]
            more = memory[name] / memory[cases.ALL[0].artifact]
            lines.append([threads, name, *cells, f"{more:.2f}"])
    rows = _rows(results["times"][net])
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
            ["policy", "accuracy", "to full", "skipped", "FLOPs", "steps", "seconds"],
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
    saved = statistics.mean(
        figures.ceiling(r["skipped"], r.get("forward", "shared")) for r in runs
    )
    return [
        variant,
        f"{100 * mean('accuracy'):.2f} %",
        f"{100 * statistics.mean(gains):+.2f}{spread}" if gains else "-",
        f"{100 * mean('skipped'):.1f} %",
        f"{saved:.2f} x",
        f"{mean('steps'):,.0f}",
        f"{mean('seconds'):.1f}",
    ]


def _errors(found: dict) -> str:
    lines = []
    for variant, by_seed in found.items():
        pairs = figures.rse_pairs(by_seed)
        bound = next(iter(by_seed.values()))["settings"].get("error_bound")
        if not pairs or bound is None:
            continue
        estimated, measured = zip(*pairs)
        within = sum(m <= bound for m in measured)
        row = [variant, f"{within} of {len(pairs)}"]
        row += [f"{statistics.median(v):.2g}" for v in (measured, estimated)]
        lines.append(row)
    head = ["policy", "within the bound", "measured", "estimated"]
    return f"{ERRORS}\n\n{table(head, lines)}" if lines else ""


def table(head: list[str], lines: list[list[str]]) -> str:
    """Returns a Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
