"""The page's table of the models that others designed."""

from __future__ import annotations

from tools.coverage.designs import FLAVOURS

TITLE = "Models that others designed"
ABOUT = """\
Structures that were published elsewhere, rebuilt at a small size and compiled as their
source does; each is saved by Keras 3 and by tf_keras, and learns by what the file says.
Then one step is compared with `train_on_batch` of the Keras that saved the file, its
optimizer fresh alike, dropout and augmentation left out, and the gradients of tables
whole (of an id that comes several times Keras 3 squares each gradient, tf_keras and we
their sum). The error is that of the worst weight, relative to its tensor's largest
update, a rounding of the weight aside; the limit is 1e-5, or 4 times what Keras' own
step changes by when the rows come in another order and inputs and weights move by
their last bit, at most a quarter. Tensors of which a tenth changes by a quarter of
their update then are noise, such as a bias before a batch norm by Adam; how many were
nothing else stands in brackets. Seconds are of the whole export, on a machine that
others used too: beside each other they say little."""
HEAD = ("model, rows", "source", "parameters", "Keras 3", "s", "tf_keras", "s")
NAMES = dict(zip(FLAVOURS, ("Keras 3", "tf_keras"), strict=True))


def rows(records: list[dict]) -> list[list[str]]:
    """Returns a row for each design, with its error where it learns."""
    return [_row(record) for record in records]


def summary(records: list[dict]) -> str:
    """Returns how many learn, saved by both Keras and by each."""
    learn = {
        flavour: [r["name"] for r in records if _learns(r, flavour)]
        for flavour in FLAVOURS
    }
    both = set.intersection(*map(set, learn.values()))
    each = ", ".join(f"{len(learn[f])} of {NAMES[f]}'s files" for f in FLAVOURS)
    found = f"Of {len(records)} models {len(both)} learn from both files: {each}."
    for flavour in FLAVOURS:
        if missing := sum(not measured(record, flavour) for record in records):
            found += f" Of {NAMES[flavour]}'s, {missing} were not measured."
    return found


def measured(record: dict, flavour: str) -> bool:
    """Whether a record says what came of a Keras' file, or why nothing can."""
    return "cause" in record or flavour in record


def failures(records: list[dict]) -> list[list[str]]:
    """Returns (model, Keras, cause) of each file that does not learn."""
    return [
        [record["name"], NAMES[flavour], _cause(record, flavour)]
        for record in records
        for flavour in FLAVOURS
        if measured(record, flavour) and not _learns(record, flavour)
    ]


def _row(record: dict) -> list[str]:
    case, cells = record["case"], []
    sizes = {f"{record[f]['parameters']:,}" for f in FLAVOURS if _learns(record, f)}
    for flavour in FLAVOURS:
        cells += _result(record, flavour)
    link = f"[{case['group']}]({case['source']})"
    name = f"{record['name']}, {case['batch']}"
    return [name, link, ", ".join(sorted(sizes)), *cells]


def _result(record: dict, flavour: str) -> list[str]:
    if not measured(record, flavour):
        return ["", ""]
    if not _learns(record, flavour):
        return ["no", ""]
    found = record[flavour]
    noise = f" ({len(found['noise'])})" if found["noise"] else ""
    shown = f"{found['error']:.0e} of {found['limit']:.0e}{noise}"
    return [shown, f"{found['seconds']:.0f}"]


def _learns(record: dict, flavour: str) -> bool:
    return flavour in record and "cause" not in record[flavour]


def _cause(record: dict, flavour: str) -> str:
    text = record["cause"] if "cause" in record else record[flavour]["cause"]
    return " ".join(text.replace("|", "/").split())[:300]
