"""Shows what an artifact is: tflite-odl describe ARTIFACT [--json]

ARTIFACT is a folder written by the exporter or a bare .tflite with its manifest inside.
A rejected artifact is shown too, with the reason. The last table is made on the spot:
how the runtime installed here shares the ops out between XNNPACK and plain kernels.
"""

from __future__ import annotations

import collections
import json
import pathlib
import stat
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from absl import app, flags
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tflite_odl import contract, files
from tflite_odl.commands import parsing, quiet, terminal
from tflite_odl.contract import version1
from tflite_odl.errors import ArtifactError, OdlError
from tflite_odl.exporter.partitions import Delegation, partitions
from tflite_odl.host import embedded
from tflite_odl.host.artifact import MOST_REASON_BYTES, Artifact

_JSON = flags.DEFINE_bool(
    "json", False, "Print the manifest as JSON instead of tables."
)

_NAME_WIDTH = 13


def load(path: pathlib.Path) -> tuple[contract.Manifest, str]:
    """Returns an artifact's manifest and why it was rejected, "" if it was not.

    Raises:
      ArtifactError: nothing there, or nothing that is an artifact.
    """
    with files.told(ArtifactError, f"no artifact at {files.shown(path)}"):
        bare = not stat.S_ISDIR(path.stat().st_mode)
    if bare:
        return embedded.manifest(files.read(path, ArtifactError), path), ""
    file, mark = path / contract.MANIFEST_FILE, path / contract.REJECTED_FILE
    if not file.exists():
        raise ArtifactError(f"{path} has no {contract.MANIFEST_FILE}: no artifact")
    content = files.read(file, ArtifactError, embedded.MOST_MANIFEST_BYTES)
    rejected = ""
    if mark.exists():
        reason = files.read(mark, ArtifactError, MOST_REASON_BYTES)
        rejected = reason.decode(errors="replace").strip()
    return contract.Manifest.from_json(content), rejected


def shares(path: pathlib.Path, manifest: contract.Manifest) -> dict[str, Delegation]:
    """Returns what XNNPACK takes of the signatures that compute.

    Raises:
      ArtifactError: the model, which a runtime would see, is not whole.
    """
    file = path / contract.MODEL_FILE if path.is_dir() else path
    found = Artifact(path, files.read(file, ArtifactError), manifest)
    found.verify()
    names = (contract.TRAIN, contract.INFER, contract.EVALUATE)
    return partitions(found.model, names)


def show(
    console: Console,
    manifest: contract.Manifest,
    rejected: str,
    shares: Mapping[str, Delegation] | None = None,
) -> None:
    """Prints the tables."""
    if rejected:
        console.out(f"REJECTED: {rejected}", style="bold red")
    if manifest.contract_version == 1:
        console.out(f"note: {version1.note(manifest)}", style="yellow")
    _show_facts(console, manifest)
    console.print(_signatures(manifest))
    console.print(_state(manifest))
    if manifest.ops:
        console.print(_matrix("Ops per signature", "op", manifest.ops))
    if manifest.sizes:
        console.print(_sizes(manifest.sizes))
    if manifest.delivery:
        sizes = {
            file: {kind: size_text(size) for kind, size in found.items()}
            for file, found in manifest.delivery.items()
        }
        console.print(_matrix("Delivery", "compressed by", sizes, sort=False))
    if manifest.memory:
        sizes = {
            name: {part: size_text(size) for part, size in parts.items()}
            for name, parts in manifest.memory.items()
        }
        console.print(_matrix("Peak memory", "part", sizes, sort=False))
    if shares:
        console.print(_delegation(shares))


def size_text(size: int) -> str:
    """Returns 1,234 B, 12.3 kB or 1.2 MB (powers of ten)."""
    if size < 10_000:
        return f"{size:,} B"
    return f"{size / 1e3:,.1f} kB" if size < 1e6 else f"{size / 1e6:,.1f} MB"


def _show_facts(console: Console, manifest: contract.Manifest) -> None:
    """Prints what no table could hold on a narrow terminal: texts and paths."""
    foreign = [op for ops in manifest.ops.values() for op in ops if op[:4] == "Flex"]
    plan = collections.Counter(manifest.plan.values())
    rows = {
        "artifact id": manifest.artifact_id,
        "contract": manifest.contract_version,
        "method": manifest.method,
        "classes": ", ".join(manifest.classes),
        "preprocessing": manifest.preprocessing,
        "quantization": _quantization(manifest.quantization),
        "serving twin": _twin(manifest.serving),
        "lowering plan": ", ".join(f"{n} x {name}" for name, n in plan.most_common()),
        "flex ops": len(foreign) if manifest.ops else "",
        "versions": manifest.versions,
        "proofs": manifest.proofs,
        "files": "\n".join(sorted(manifest.files)),
    }
    for name, value in rows.items():
        text = "\n".join(_lines(value)) if isinstance(value, Mapping) else str(value)
        for line in text.splitlines():
            console.out(f"{name:<{_NAME_WIDTH}} {line}")
            name = ""


def _quantization(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the recipe and what is int8, without the range of each layer."""
    return {name: value for name, value in content.items() if name != "ranges"}


def _twin(serving: Mapping[str, Any]) -> str:
    if not serving:
        return ""
    size, weights = size_text(serving["bytes"]), len(serving["weights"])
    int8 = serving.get("int8", {"layers": [], "spans": []})
    baked = [f"{weights} weights"] if weights else []
    if int8["layers"]:
        layers, spans = len(int8["layers"]), len(int8["spans"])
        baked.append(f"{layers} int8 layers and {spans} ranges")
    return f"{serving['file']}, {size}, {' and '.join(baked)} are baked"


def _lines(content: Mapping[str, Any], prefix: str = "") -> Iterable[str]:
    """Yields `a.b: value` for every leaf."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{prefix}{name}.")
        else:
            shown = value if isinstance(value, str) else json.dumps(value)
            yield f"{prefix}{name}: {shown}"


def _signatures(manifest: contract.Manifest) -> Table:
    table = Table("signature", "", "tensor", "dtype", "shape", "unit", "about")
    table.title = "Signatures"
    for name, signature in manifest.signatures.items():
        for kind, specs in (("in", signature.inputs), ("out", signature.outputs)):
            # save and restore list the whole state, which has a table of its own.
            if {spec.name for spec in specs} == {spec.name for spec in manifest.state}:
                table.add_row(name, kind, "every state tensor")
                continue
            for spec in specs:
                table.add_row(name, kind, *_spec(spec), spec.unit, escape(spec.about))
        table.add_section()
    return table


def _spec(spec: contract.TensorSpec) -> tuple[str, str, str]:
    return spec.name, spec.dtype, escape(str(list(spec.shape)))


def _state(manifest: contract.Manifest) -> Table:
    total = sum(spec.bytes for spec in manifest.state)
    table = Table("role", "tensor", "dtype", "shape", "size")
    table.title = f"State: {len(manifest.state)} tensors, {size_text(total)}"
    for role in ("", *contract.ROLES):
        specs = [spec for spec in manifest.state if spec.role == role]
        for spec in specs:
            table.add_row(role, *_spec(spec), size_text(spec.bytes))
        if specs:
            sums = sum(spec.bytes for spec in specs)
            table.add_row(role, f"{len(specs)} together", "", "", size_text(sums))
            table.add_section()
    return table


def _sizes(sizes: Mapping[str, int]) -> Table:
    table = Table("part", "size", title="Model file")
    for part, size in sizes.items():
        table.add_row(part, size_text(size))
    return table


def _delegation(shares: Mapping[str, Delegation]) -> Table:
    columns = (
        "signature",
        "ops per XNNPACK partition",
        "ops outside",
        "of them between",
    )
    table = Table(*columns, title="Delegation")
    for name, share in shares.items():
        sizes = ", ".join(map(str, share.partitions))
        table.add_row(name, sizes, _counts(share.outside), _counts(share.breaks))
    return table


def _counts(ops: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {op}" for op, n in sorted(ops.items()))


def _matrix(
    title: str, corner: str, columns: Mapping[str, Mapping[str, Any]], sort: bool = True
) -> Table:
    """Shows {column: {row: value}}."""
    rows = list(dict.fromkeys(row for column in columns.values() for row in column))
    table = Table(corner, *columns, title=title)
    for row in sorted(rows) if sort else rows:
        table.add_row(row, *(str(column.get(row, "")) for column in columns.values()))
    return table


def main(arguments: list[str]) -> int:
    quiet.start()
    if len(arguments) != 2:
        print("usage: tflite-odl describe ARTIFACT [--json]", file=sys.stderr)
        return 2
    try:
        path = pathlib.Path(arguments[1])
        manifest, rejected = load(path)
    except (OdlError, OSError) as error:
        print(f"describe: {error}", file=sys.stderr)
        return 2
    if _JSON.value:
        print(manifest.to_json(indent=1))
        return 0
    try:
        shared = shares(path, manifest)
    except OdlError as error:
        print(f"describe: {error}", file=sys.stderr)
        return 2
    show(terminal.console(), manifest, rejected, shared)
    return 0


def run() -> None:
    """Runs the command line and ends the process."""
    app.run(main, flags_parser=parsing.parser(__name__))
