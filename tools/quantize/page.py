"""The suite's page: size, accuracy and latency of each recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ABOUT = (
    "A net is pre-trained in Keras on one set and learns another one in LiteRT. "
    "Accuracies are of the same held-out rows, in per cent: of the serving twin as "
    "shipped, of the training artifact's `infer` and of the twin baked from it after "
    "training. Sizes in kB; the twin's is given after training, too, compressed. Times "
    "are of one thread, CPU time, the least of interleaved rounds; `infer` and twin "
    "answer one row, a train step takes the case's batch."
)


def page(results: dict, command: str, plots: Mapping[str, str] | None = None) -> str:
    """Returns the page.

    Args:
      results: "machine", "versions" and "records", one a variant of a case.
      command: that makes it again.
      plots: {case: file}, if they were drawn.
    """
    versions = ", ".join(results["versions"])
    lines = ["# Recipes: size, accuracy, latency", ""]
    lines += [f"`{command}`, {results['machine']}; {versions}.", "", ABOUT, ""]
    records = results["records"]
    for case in dict.fromkeys(record["case"] for record in records):
        lines += [f"## {case}", ""]
        if plots and case in plots:
            lines += [f"![size, accuracy and latency of {case}]({plots[case]})", ""]
        lines += _table([record for record in records if record["case"] == case])
    return "\n".join(lines) + "\n"


def _table(records: list[dict[str, Any]]) -> list[str]:
    head = ("method, recipe", "model kB", "deflate", "twin kB", "deflate", "zstd")
    head += ("after, deflate", "twin before", "infer after", "twin after")
    head += ("train ms", "infer ms", "twin ms", "bake ms")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for record in records:
        if "cause" in record:
            lines.append(f"| {record['variant']} | failed: {record['cause']} |")
            continue
        model, twin, after = (record[k] for k in ("model", "twin", "twin_after_bytes"))
        sizes = (model["bytes"], model["deflate"], twin["bytes"], twin["deflate"])
        cells = [record["variant"], *(f"{size / 1e3:.1f}" for size in sizes)]
        cells.append(f"{twin['zstd'] / 1e3:.1f}" if "zstd" in twin else "-")
        cells.append(f"{after['deflate'] / 1e3:.1f}")
        scores = (record[k] for k in ("twin_before", "infer_after", "twin_after"))
        cells += [f"{100 * score:.2f}" for score in scores]
        times = (record[k] for k in ("train_ms", "infer_ms", "twin_ms", "bake_ms"))
        cells += [f"{ms:.3g}" for ms in times]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]
