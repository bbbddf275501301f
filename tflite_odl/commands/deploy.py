"""Runs an artifact on a phone and compares it with this desk:

tflite-odl deploy artifacts/signs --dataset=digits --steps=100 --out=runs/phone
tflite-odl deploy artifacts --serial=R58M... --device=mid_range --out=runs/phone

Of a folder of artifacts the phone gets the variant that fits it. The phone's results
and a report with both runs are in --out.
"""

from __future__ import annotations

import json
import pathlib

from absl import app, flags
from rich.console import Console
from rich.progress import Progress

from tflite_odl.commands import parsing, quiet, terminal
from tflite_odl.desk import profiles
from tflite_odl.desk.report import page
from tflite_odl.errors import ContractError, OdlError

_DATASET = flags.DEFINE_string("dataset", "digits", "digits[:changes] or npz:PATH")
_STREAM = flags.DEFINE_string("stream", "shuffled", "order of the rows, as in emulate")
_STEPS = flags.DEFINE_integer("steps", 100, "batches", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "of the stream's order", lower_bound=0)
_OUT = flags.DEFINE_string(
    "out", None, "folder for both runs and the report", required=True
)
_APK = flags.DEFINE_string("apk", "build/android/app.apk", "the app, from `make apk`")
_SERIAL = flags.DEFINE_string("serial", None, "of the phone, where there are several")
_DEVICE = flags.DEFINE_string(
    "device", None, f"profile whose limits hold: {', '.join(profiles.names())}, or FILE"
)
_RUNNER = flags.DEFINE_string(
    "runner", None, "the app's command line there, in its place"
)
_THREADS = flags.DEFINE_integer(
    "threads", None, "of the CPU kernels, else the profile's"
)
_CHARGING = flags.DEFINE_boolean("charging", False, "train only while it is charging")
_IDLE = flags.DEFINE_boolean("idle", False, "train only while nobody uses it")
_SET = flags.DEFINE_multi_string("set", [], "name=value for configure, repeatable")


def main(arguments: list[str]) -> int:
    quiet.start()
    console = terminal.console(stderr=True)
    try:
        if len(arguments) != 2:
            raise ContractError(f"give one artifact or folder, got {arguments[1:]}")
        found = _deploy(arguments[1], console)
    except OdlError as error:
        console.out(f"{type(error).__name__}: {error}", style="red")
        return 2
    report = pathlib.Path(_OUT.value) / "report.html"
    page.write(found, report)
    console.out(f"report: {report}")
    compared = found.phone["compared"]
    print(json.dumps({"artifact": found.artifact["name"], **compared}))
    return 0 if compared["agrees"] else 1


def _deploy(folder: str, console: Console):
    from tflite_odl.deploy import deploying

    apk = None if _RUNNER.value else pathlib.Path(_APK.value)
    plan = deploying.Plan(
        pathlib.Path(folder),
        _DATASET.value,
        pathlib.Path(_OUT.value),
        steps=_STEPS.value,
        order=_STREAM.value,
        seed=_SEED.value,
        apk=apk,
        serial=_SERIAL.value,
        device=_DEVICE.value,
        runner=_RUNNER.value,
        threads=_THREADS.value,
        charging=_CHARGING.value,
        idle=_IDLE.value,
        settings=parsing.settings(_SET.value),
    )
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bars = {n: progress.add_task(n, total=plan.steps) for n in ("desk", "phone")}
        return deploying.deploy(
            plan,
            say=lambda text: console.out(text),
            progress=lambda where, batch: progress.update(bars[where], completed=batch),
        )


def run() -> None:
    """Runs the command line and ends the process."""
    app.run(main, flags_parser=parsing.parser(__name__))
