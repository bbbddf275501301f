"""Ready to ship? Each question with its answer, and the figures it rests on."""

from __future__ import annotations

import dataclasses

from tflite_odl.desk.report.findings import Findings

YES, NO, UNKNOWN = "yes", "no", "unknown"
# Of the accuracy, that an update may cost.
LOST = 0.01


@dataclasses.dataclass(frozen=True)
class Verdict:
    """An answer.

    Attributes:
      question: in words.
      answer: `YES`, `NO`, or `UNKNOWN` where nothing was run that could tell.
      reason: the figures; what to run where it is not known.
    """

    question: str
    answer: str
    reason: str


def verdicts(found: Findings) -> list[Verdict]:
    """Returns every verdict, in the order in which one would ask."""
    return [
        _learns(found),
        _stock(found),
        _goldens(found),
        _processors(found),
        _phone(found),
        _memory(found),
        _storage(found),
        _time(found),
        _survives(found),
        _updates(found),
    ]


def _learns(found: Findings) -> Verdict:
    question = "Does it learn this user's data?"
    before, after = found.before, found.after
    for name, better in (("accuracy", 1), ("absolute_error", -1), ("loss", -1)):
        if name in before and name in after:
            gain = (after[name] - before[name]) * better
            shown = "{:.1%}" if name == "accuracy" else "{:.4g}"
            told = f"{name} on held-out rows {shown} -> {shown}"
            answer = YES if gain > 0 else NO
            return Verdict(question, answer, told.format(before[name], after[name]))
    return Verdict(question, UNKNOWN, "the method evaluates nothing that tells")


def _stock(found: Findings) -> Verdict:
    ops = found.artifact["flex_ops"]
    reason = "builtin ops only" if not ops else f"{ops} ops need the Flex library"
    return Verdict("Does the stock runtime run it?", NO if ops else YES, reason)


def _goldens(found: Findings) -> Verdict:
    question = "Does it compute here what it did when it was proven?"
    if not found.goldens:
        return Verdict(question, UNKNOWN, "the artifact has no goldens")
    passed, whole = found.goldens["passed"], found.goldens["all"]
    answer = YES if passed == whole else NO
    return Verdict(question, answer, f"{passed} of {whole} golden outputs hold")


def _processors(found: Findings) -> Verdict:
    question = "Do runtimes and processors agree?"
    if not found.parity:
        return Verdict(question, UNKNOWN, "not compared: --parity, --abi=arm64-v8a")
    off = [row["place"] for row in found.parity if not row["passed"]]
    if off:
        return Verdict(question, NO, f"not on {', '.join(off)}: see the matrix")
    places = ", ".join(row["place"] for row in found.parity)
    return Verdict(question, YES, f"within float32's order of sums on {places}")


def _phone(found: Findings) -> Verdict:
    question = "Does a real phone learn what this desk does?"
    if not found.phone:
        return Verdict(question, UNKNOWN, "no phone was asked: tools/deploy.py")
    goldens, compared = found.phone.get("goldens") or {}, found.phone["compared"]
    passed, whole = goldens.get("passed", 0), goldens.get("all", 0)
    held = f"{passed} of {whole} golden outputs hold there"
    if compared["first"] is None:
        held += ", no batch has a loss to compare"
    else:
        held += f", losses begin within {compared['first']:.2g} of this desk's"
    answer = YES if compared["agrees"] and passed == whole > 0 else NO
    return Verdict(question, answer, held)


def _memory(found: Findings) -> Verdict:
    question = "Will it fit into memory?"
    limit, used = (found.memory.get(name) for name in ("limit_mb", "used_mb"))
    if limit is None:
        return Verdict(question, UNKNOWN, "no limit was held: --device")
    mechanism = found.memory.get("mechanism")
    if found.memory.get("problem"):
        return Verdict(question, NO, found.memory["problem"])
    reason = f"{used:g} MB of {limit:g}, held by {mechanism}"
    return Verdict(question, YES if used <= limit else NO, reason)


def _storage(found: Findings) -> Verdict:
    question = "Will it fit into storage?"
    quota = found.device.get("storage_mb")
    if quota is None or not found.storage:
        return Verdict(question, UNKNOWN, "no quota is known: --device")
    kept = found.storage["kept_bytes"] / 2**20
    reason = f"{kept:.1f} MB of {quota:g}: artifact, two checkpoints, one being written"
    return Verdict(question, YES if kept <= quota else NO, reason)


def _time(found: Findings) -> Verdict:
    question = "Will a step be over in time?"
    rate = found.device.get("sensor", {}).get("rows_per_second")
    steps = [c for c in found.counts if c["signature"] == "train"]
    if not steps or not rate:
        return Verdict(question, UNKNOWN, "not counted: --device, --count")
    batch, clock = found.artifact["batch_size"], found.device["gigahertz"]
    share = min(share for _, share in found.device["duty"])
    bound, estimate = (steps[0][name] / clock for name in ("bound", "estimate"))
    budget = batch / rate * 1e3 * share
    reason = (
        f"a step of {batch} rows takes {bound:.3g} ms of a {steps[0]['core']} at "
        f"{clock:g} GHz at least, {estimate:.3g} by the cache model, on one thread; "
        f"the sensor leaves {budget:.3g} ms when the phone is warm"
    )
    return Verdict(question, YES if estimate <= budget else NO, reason)


def _survives(found: Findings) -> Verdict:
    question = "Does what is learned survive when the app dies?"
    if found.equal is None:
        return Verdict(question, UNKNOWN, "no fault came: --faults=kill=3")
    number = len(found.faults)
    if found.equal:
        return Verdict(question, YES, f"{number} faults, the state is equal")
    return Verdict(question, NO, f"after {number} faults the state differs")


def _updates(found: Findings) -> Verdict:
    question = "Does an update keep what was learned?"
    update = found.update
    if not update:
        return Verdict(question, UNKNOWN, "not tried: --update=ARTIFACT")
    taken, others = len(update["taken"]), update["kept"] + update["differing"]
    reason = f"{taken} of {taken + len(others)} weights taken by the new artifact"
    if others:
        reason += f", not {', '.join(others[:3])}"
    before, after = (update[n].get("accuracy") for n in ("before", "adopted"))
    if before is None:
        return Verdict(question, NO if others else YES, reason)
    reason += f"; accuracy {before:.1%} before it, {after:.1%} right after"
    return Verdict(question, YES if after >= before - LOST else NO, reason)
