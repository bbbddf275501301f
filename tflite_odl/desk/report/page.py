"""One self-contained HTML page of what was found."""

from __future__ import annotations

import dataclasses
import html
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from tflite_odl.desk.report import charts
from tflite_odl.desk.report.findings import Findings
from tflite_odl.desk.report.verdicts import Verdict, verdicts

STYLE = pathlib.Path(__file__).with_name("style.css")


def write(found: Findings, path: pathlib.Path) -> None:
    """Writes the page, and beside it what it tells as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = json.dumps(dataclasses.asdict(found), indent=1)
    path.with_suffix(".json").write_text(told)
    path.write_text(page(found))


def page(found: Findings) -> str:
    """Returns the page."""
    name = found.artifact["name"]
    parts = [
        _head(found),
        _section("Ready to ship?", _verdicts(verdicts(found))),
        _section("Learning", _learning(found)),
        _section("What the buffers hold", _pictures(found)),
        _section("Time", _time(found)),
        _section("On the phone", _phone(found)),
        _section("Memory and storage", _memory(found)),
        _section("Runtimes and processors", _parity(found)),
        _section("The emulated phone", _device(found)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{_text(name)} on the desk</title>"
        f"<style>{STYLE.read_text()}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _text(value: Any) -> str:
    return html.escape(str(value))


def _section(title: str, content: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{content}</section>" if content else ""


def _head(found: Findings) -> str:
    about = found.artifact
    recipe = about["quantization"]
    device = found.device.get("name", "no device")
    return (
        f"<header><h1>{_text(about['name'])}</h1>"
        f"<p>method {_text(about['method'])}, {_text(recipe or 'float32')}, "
        f"{about['model_bytes'] / 1e3:.0f} kB, batches of {about['batch_size']} rows; "
        f"{_text(found.dataset)} on {_text(device)}</p>"
        f'<p class="soft">artifact <code>{_text(about["id"])}</code></p></header>'
    )


def _verdicts(found: Sequence[Verdict]) -> str:
    items = "".join(
        f'<li class="{v.answer}"><span class="answer">{_text(v.answer)}</span>'
        f"<span>{_text(v.question)}</span>"
        f'<span class="reason">{_text(v.reason)}</span></li>'
        for v in found
    )
    return f'<ul class="verdicts">{items}</ul>'


def _learning(found: Findings) -> str:
    marks = {f["batch"]: f"{f['kind']} at batch {f['batch']}" for f in found.faults}
    drawn = "".join(
        charts.line(points, _named(name), marks)
        for name, points in found.curves.items()
    )
    rows = [
        (name, found.before.get(name), found.after.get(name))
        for name in sorted(found.before.keys() & found.after.keys())
        if isinstance(found.before[name], (int, float))
    ]
    table = _table(("held-out rows", "before", "after"), rows)
    told = ""
    if marks:
        told = f'<p class="soft">Dashed lines: {len(found.faults)} faults.</p>'
    if any(found.stream.values()):
        told += '<p class="soft">Of the stream: ' + _text(
            ", ".join(f"{n} rows {what}" for what, n in found.stream.items() if n)
        )
        told += ".</p>"
    return f'<div class="charts">{drawn}</div>{told}{table}'


def _named(metric: str) -> str:
    told = {"accuracy": "accuracy, each batch predicted before it was learned"}
    return told.get(metric, metric.replace("_", " ")) + ", by batch"


def _pictures(found: Findings) -> str:
    return "".join(
        f'<figure><img class="strip" src="{uri}" alt="{_text(name)}">'
        f"<figcaption>{_text(name)}, at the end of the run</figcaption></figure>"
        for name, uri in found.pictures.items()
    )


def _time(found: Findings) -> str:
    parts = []
    if found.calls:
        columns = ("calls", "first_ms", "p50_ms", "p90_ms", "p99_ms")
        rows = [
            (name, *(about[column] for column in columns))
            for name, about in found.calls.items()
        ]
        parts.append(_table(("milliseconds on this desk", *columns), rows))
        parts.append(
            "<p class=\"soft\">A desk's milliseconds are no phone's: they compare "
            "calls with each other.</p>"
        )
    if found.counts:
        head = (
            "one thread",
            "core",
            "M instructions",
            "M cycles, at least",
            "estimate",
        )
        rows = [
            (c["signature"], c["core"], c["instructions"], c["bound"], c["estimate"])
            for c in found.counts
        ]
        parts.append(_table(head, rows))
        kinds = {f"{c['signature']}, {c['core']}": c["kinds"] for c in found.counts}
        if any(kinds.values()):
            drawn = charts.bars(kinds, "instructions by kind of work", "M")
            parts.append(f'<div class="charts">{drawn}</div>')
        parts.append(
            '<p class="soft">Counted under emulation: instructions are exact; "at '
            "least\" is what the core's width allows, the estimate adds a model of its "
            "caches. No prefetcher, no TLB, no second thread: cycles of one core, not "
            "seconds.</p>"
        )
    return "".join(parts)


def _phone(found: Findings) -> str:
    """Returns both runs side by side, what the phone is, and why it got this file."""
    if not found.phone:
        return ""
    compared, device = found.phone["compared"], found.phone["device"]
    rows = [("train, median ms", compared["host_ms"], compared["phone_ms"])]
    for when, here in (("before", found.before), ("after", found.after)):
        there = found.phone.get(when) or {}
        rows += [
            (f"{name} on held-out rows, {when}", here[name], there[name])
            for name in sorted(here.keys() & there.keys())
            if isinstance(here[name], (int, float))
        ]
    told = [f"<li>{_text(reason)}</li>" for reason in found.phone["reasons"]]
    parts = [_table(("", "this desk", device["model"]), rows)]
    if compared["worst"] is not None:
        parts.append(
            f"<p>Losses of {compared['batches']} batches differ by at most "
            f"{compared['worst']:.2g}, those of the first ten by "
            f"{compared['first']:.2g}. Rounding alone lets two machines part.</p>"
        )
    parts.append(f"<p>{_text(found.phone.get('engine'))}</p><ul>{''.join(told)}</ul>")
    known = [(name, value) for name, value in device.items() if value is not None]
    return "".join(parts) + _table(("the phone", ""), [(n, str(v)) for n, v in known])


def _memory(found: Findings) -> str:
    rows = {
        name: {k: v / 2**20 for k, v in parts.items() if k != "total" and v}
        for name, parts in found.artifact["memory"].items()
        if name in ("train", "infer", "evaluate")
    }
    drawn = charts.bars(rows, "memory of a call, from the file", "MB") if rows else ""
    told = ""
    if found.storage:
        kept, written = found.storage["kept_bytes"], found.storage["bytes_per_hour"]
        told = (
            f"<p>{kept / 1e6:.2f} MB stored; {written / 1e6:.2f} MB written in an hour "
            "on the phone's clock.</p>"
        )
    return f'<div class="charts"><div>{drawn}</div><div>{told}</div></div>'


def _parity(found: Findings) -> str:
    if not found.parity:
        return ""
    rows = []
    for row in found.parity:
        worst = row.get("worst") or {}
        told = row["problem"] or (
            f"{worst.get('signature')}.{worst.get('tensor')}: "
            f"{worst.get('error', 0):.2g} of {worst.get('allowed', 0):.2g} allowed"
        )
        answer = "agrees" if row["passed"] else "differs"
        rows.append((row["place"], answer, told, f"{row['drift']:.2g}"))
    head = ("against this desk, one thread", "", "worst tensor of a step", "drift")
    return _table(head, rows) + (
        '<p class="soft">Each call from an equal state; drift: of the weights, after '
        "the same steps without restoring.</p>"
    )


def _device(found: Findings) -> str:
    if not found.device:
        return ""
    rows = [
        (name, value)
        for name, value in found.device.items()
        if name not in ("name", "about")
    ]
    return f"<p>{_text(found.device['about'])}</p>" + _table(("", ""), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    rows = list(rows)
    if not rows:
        return ""
    numbers = [isinstance(value, (int, float)) for value in rows[0]]
    top = "".join(
        f'<th class="number">{_text(name)}</th>'
        if number
        else f"<th>{_text(name)}</th>"
        for name, number in zip(head, numbers, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{body}</table></div>'


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"<td>{_text(value)}</td>"
    shown = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return f'<td class="number">{shown}</td>'
