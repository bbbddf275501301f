"""The gate suite's page, in Markdown, from its records."""

from __future__ import annotations

ABOUT = """\
Each net is exported as it is and with one fault of a line put into its graph; the whole
gate then judges the artifact, with no cache. "Whole step" is what the trials of the
whole net say, "layer alone" what the layers by themselves say: either one refuses.
The table of all faults, in tiny nets, is `tflite_odl/proof/faults`; `make test` runs
it."""


def page(results: dict, command: str) -> str:
    """Returns the page of {"records", "machine", "versions"}."""
    made = f"{results['machine']}; {', '.join(results['versions'])}."
    parts = ["# What the gate finds in large nets", ABOUT, f"    {command}", made]
    for net in results["records"]:
        parts.append(f"## {net['name']}")
        if "cause" in net:
            parts.append(f"Not measured: {net['cause']}")
            continue
        head = "| fault | refused | whole step | layer alone | gate s |"
        rows = [head, "|---|---|---|---|---|", *map(_row, net["records"])]
        parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def _row(record: dict) -> str:
    whole, alone = record["refused"], record["layers"]
    refused = "yes" if whole or alone else "no"
    cells = (
        record["fault"] or "none",
        refused,
        _short(whole) or "agrees",
        _short(alone) or "agrees",
        f"{record['gate_s']:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def _short(message: str) -> str:
    """Returns where a message points: signature and tensor, or layer."""
    return message.split(", index")[0].split(": off")[0].replace("|", "/")
