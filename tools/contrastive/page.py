"""The page of the contrastive suite, in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from tools.contrastive import bars, cases, figures

ABOUT = """\
Each net learns from fresh weights on a stream without labels; each seed has its own
weights and order, the same for all arms. A segment is 16 items, 16 more are drawn from
a buffer of 256: 64 views. `none` takes segments of 32. `flip_score` is Wu et al.'s:
its buffer of 32 is its mini-batch, scores are made anew every 20 steps. Labels are
used by the probes alone: a linear one that sees 1, 10 or 100 % of them, and kNN of 20,
on held-out rows, in percent. The linear probe is a logistic regression, its penalty
chosen by left-out tracks or executions; of 1 and 10 % it is the mean over ten draws of
labels. `untrained` is the floor, `none, iid` the ceiling: the same items shuffled.
Intervals are of 95 %, of the differences of equal seeds."""

PASS = "Equal stream items: after one pass."
SECONDS = """\
Equal seconds, counted by the steps' times on one thread: further passes in new orders,
as many as `ours` makes."""
USES = """\
How often an item was in a mini-batch, one seed, all passes: items never used, the
largest number, and how unevenly (Gini: 0 = all alike). Entropy: bits of the classes in
the buffer at the end."""
TIMES = """\
Processor time of one thread, all arms of a net in turns; ratios are medians of rounds.
Beside it what is kept of the user's items, 64 enrolled ones among them, the whole file,
and how many ops of a step are in each of XNNPACK's partitions: forward and backward are
one, what views are made with comes before."""
STEP_COLUMNS = (
    *("net", "arm", "ms", "of the same 64 views without a buffer"),
    *("kept, kB", "file, kB", "ops in XNNPACK's partitions"),
)
COLUMNS = (
    *("arm", "1 %", "10 %", "100 %", "kNN", "10 %, classes alike"),
    *("ours - arm at 10 %", "seeds"),
)
SHARES = ("0.01", "0.1", "1", "knn", "0.1 balanced")
BRIEF = """\
This is the brief study. The whole one is behind `--full`, some four hours of two cores;
of it the brief one leaves out:"""


def page(results: dict, command: str, plots: Mapping[str, str] | None = None) -> str:
    """Returns the page of {"times", "records", "skipped", ...}.

    Args:
      results: of the suite.
      command: that made them.
      plots: {case: file}.
    """
    made = f"Machine: {results['machine']}. {', '.join(results['versions'])}."
    parts = ["# What a stream teaches without labels", ABOUT, f"`{command}`. {made}"]
    if not results["full"]:
        parts += [BRIEF, "\n".join(f"- {one}" for one in _left_out(results["records"]))]
    parts += ["## What it must show", bars.ABOUT, bars.table(results["records"])]
    parts += ["## Time of a step", TIMES, _times(results["times"])]
    for case in dict.fromkeys(r["case"] for r in results["records"]):
        found = figures.of_case(results["records"], case)
        parts += [f"## {case}", PASS, _probes(found, True)]
        parts += [SECONDS, _probes(found, False), USES, _uses(found)]
        if plots and case in plots:
            parts.append(f"![{case}]({plots[case]})")
    for name, why in results["skipped"].items():
        parts.append(f"- {name} is missing: {why}")
    return "\n\n".join(parts) + "\n"


def _left_out(records: list[dict]) -> list[str]:
    """Returns what of the full study is not there, a phrase a case."""
    found = []
    for name, case in cases.CASES.items():
        runs = figures.of_case(records, name)
        counts = {arm: len(by_seed) for arm, by_seed in runs.items()}
        if not counts:
            found.append(f"{name}: all of it")
            continue
        absent = [arm.name for arm in case.arms if arm.name not in counts]
        if absent:
            found.append(f"{name}: {', '.join(f'`{arm}`' for arm in absent)}")
        passes = {record["passes"] for run in runs.values() for record in run.values()}
        if max(passes) < case.passes:
            found.append(f"{name}: passes, {max(passes)} of {case.passes}")
        fewer = [
            f"`{arm.name}` ({counts[arm.name]} of {case.seeds_of(arm, full=True)})"
            for arm in case.arms
            if 0 < counts.get(arm.name, 0) < case.seeds_of(arm, full=True)
        ]
        if fewer:
            found.append(f"{name}, seeds of {', '.join(fewer)}")
    return found


def _probes(found: dict, one_pass: bool) -> str:
    rows = []
    for arm, by_seed in found.items():
        means = [f"{figures.mean(by_seed, share, one_pass):.1f}" for share in SHARES]
        apart = ""
        if cases.OURS in found and arm != cases.OURS:
            ours = found[cases.OURS]
            mean, half = figures.paired(ours, by_seed, "0.1", one_pass)
            apart = figures.interval(mean, half)
        rows.append([arm, *means, apart, len(by_seed)])
    return figures.table(COLUMNS, rows)


def _uses(found: dict) -> str:
    rows = []
    for arm, by_seed in found.items():
        uses = by_seed.get(0, {}).get("uses")
        if uses and uses["largest"]:
            entropy = by_seed[0]["class_entropy"]
            shown = "" if entropy is None else f"{entropy:.2f}"
            rows.append(
                [arm, uses["never"], uses["largest"], f"{uses['gini']:.2f}", shown]
            )
    return figures.table(("arm", "never used", "most", "Gini", "entropy"), rows)


def _times(times: dict) -> str:
    """Returns each step's milliseconds and its share of the same without a buffer."""
    plain = next(arm for arm in cases.ALL if arm.name == cases.NONE)
    rows = []
    for net, of_net in times.items():
        for arm in cases.ALL:
            if arm.artifact in of_net and arm.trains and not arm.order:
                found, share = of_net[arm.artifact], ""
                if plain.artifact in of_net:
                    of_plain = figures.share(of_net, arm.artifact, plain.artifact)
                    share = f"{of_plain:.3f}"
                ms = f"{statistics.median(found['ms']):.1f}"
                sizes = [f"{found[n] / 1e3:.0f}" for n in ("buffer_bytes", "bytes")]
                of_xnnpack = " + ".join(map(str, found["partitions"]))
                rows.append([net, arm.name, ms, share, *sizes, of_xnnpack])
    return figures.table(STEP_COLUMNS, rows)
