"""Which options hold: what a method is told, what the model was compiled with, or the
defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tflite_odl.builtin.losses import LOSSES, OPTIONS
from tflite_odl.builtin.schedules import Schedule
from tflite_odl.errors import ModelError
from tflite_odl.reading import endings
from tflite_odl.reading.compiled import Compiled, CompiledLoss
from tflite_odl.reading.load import LoadedModel

# What the ending of a model that was not compiled says of its loss.
BY_ENDING = {"softmax": "sparse_cross_entropy", "sigmoid": "binary_cross_entropy"}
SAVED, FRESH = "saved", "fresh"


@dataclasses.dataclass(frozen=True)
class Resolved:
    """The options of a method's configuration, and where they are from.

    Attributes:
      options: fields of the configuration.
      notes: a line on the loss, and one on the optimizer.
      logits: names of the outputs that were compiled with a loss that takes logits.
    """

    options: dict[str, Any]
    notes: tuple[str, ...]
    logits: frozenset[str] = frozenset()


def resolve(
    told: Mapping[str, Any],
    loaded: LoadedModel,
    losses: Sequence[str],
    optimizer: str = "sgd",
) -> Resolved:
    """Returns the options that hold for a model.

    What is told holds. Of the rest loss and optimizer are as the model was compiled
    with them; its loss is left aside where another one is told, and so is its optimizer
    with all its numbers. A model that was not compiled has the loss that its ending
    says, or the only one there is.

    Args:
      told: fields of a `SupervisedConfig`.
      loaded: the model.
      losses: what the method can learn by.
      optimizer: the configuration's default.

    Raises:
      ModelError: the model was compiled with what has no builtin form, or nothing says
        what its loss is.
    """
    loss, of_loss = _loss(told, loaded, losses)
    learning, of_optimizer = _learning(told, loaded.compiled, optimizer)
    options = {**loss, **learning, **told}
    if "hyperparameters" in told and "hyperparameters" in learning:
        both = {**learning["hyperparameters"], **told["hyperparameters"]}
        options["hyperparameters"] = both
    if options.get("optimizer_state", FRESH) == SAVED and not _same_optimizer(
        loaded.compiled, options
    ):
        raise ModelError(
            "optimizer_state='saved' needs the optimizer that the model was compiled "
            "with, and its state in the file: leave optimizer (--optimizer) out, or "
            "start fresh"
        )
    return Resolved(options, (of_loss, of_optimizer), _taking_logits(loaded))


def _taking_logits(loaded: LoadedModel) -> frozenset[str]:
    compiled = loaded.compiled
    if compiled is None or compiled.loss is None:
        return frozenset()
    found = _readable(lambda: compiled.supervision(loaded.outputs)) or {}
    return frozenset(name for name, loss in found.items() if loss.from_logits)


def _same_optimizer(compiled: Compiled | None, options: Mapping[str, Any]) -> bool:
    if compiled is None or compiled.identifier is None:
        return False
    return compiled.learning()["optimizer"] == options.get("optimizer")


def _loss(
    told: Mapping[str, Any], loaded: LoadedModel, losses: Sequence[str]
) -> tuple[dict[str, Any], str]:
    """Returns (options of the loss, a line on it)."""
    compiled, outputs = loaded.compiled, loaded.outputs
    known = compiled is not None and compiled.loss is not None
    if "loss" in told:
        what = f"loss {told['loss']}"
        found = _readable(lambda: compiled.supervision(outputs)) if known else None
        if found is None:
            return {}, f"{what}: as told"
        options, source = _options(found), _named(found)
        if options["loss"] == told["loss"]:
            return _rest(options, told, what, source)
        return {}, f"{what}: as told; {source}"
    if known:
        found = compiled.supervision(outputs)
        _check_probabilities(loaded, found)
        options = _options(found)
        return _rest(options, told, f"loss {options['loss']}", _named(found))
    if len(losses) == 1:
        return {"loss": losses[0]}, f"loss {losses[0]}: the only one of this method"
    return _by_endings(loaded, losses)


def _by_endings(
    loaded: LoadedModel, losses: Sequence[str]
) -> tuple[dict[str, Any], str]:
    """Returns the same by how the outputs end."""
    found = {}
    for place, name in enumerate(loaded.outputs):
        ending = endings.find(loaded.model, place)
        if ending.activation not in BY_ENDING:
            raise ModelError(
                f"model {loaded.model.name!r} was not compiled with a loss, and layer "
                f"{ending.path!r}, which ends it, is {ending.activation} and does not "
                f"say one: set loss (--loss) to one of {', '.join(losses)}"
            )
        found[name] = ending.activation
    loss = _joined({name: BY_ENDING[ending] for name, ending in found.items()})
    return {"loss": loss}, f"loss {loss}: the model ends in {_joined(found)}"


def _joined(texts: Mapping[str, str]) -> str:
    """Returns "output:text,...", or the text of a single output."""
    if len(texts) == 1:
        return next(iter(texts.values()))
    return ",".join(f"{name}:{text}" for name, text in texts.items())


def _named(found: Mapping[str, CompiledLoss]) -> str:
    return "; ".join(dict.fromkeys(loss.named for loss in found.values()))


def _options(found: Mapping[str, CompiledLoss]) -> dict[str, Any]:
    """Returns the fields of a configuration that the losses of all outputs say.

    Raises:
      ModelError: an option is set in two ways, which a configuration cannot say.
    """
    options: dict[str, Any] = {}
    for option in OPTIONS:
        kinds = [loss for loss in found.values() if option in _kind(loss).options]
        said = {loss.options.get(option) for loss in kinds}
        if len(said) > 1:
            raise ModelError(
                f"{_named(found)}: {option} differs, {said}; choose an output "
                f"(--output), or set loss (--loss) and {option} (--{option})"
            )
        value = next(iter(said), None)
        if value is not None:
            options[option] = value
    options["loss"] = _joined({n: loss.options["loss"] for n, loss in found.items()})
    weights = {name: loss.weight for name, loss in found.items() if loss.weight != 1}
    return options | ({"loss_weights": weights} if weights else {})


def _kind(loss: CompiledLoss) -> type:
    return LOSSES[loss.options["loss"]]


def _check_probabilities(
    loaded: LoadedModel, found: Mapping[str, CompiledLoss]
) -> None:
    """Raises ModelError if a loss takes linear values, or logarithms of probabilities,
    for probabilities."""
    for place, loss in enumerate(found.values()):
        if loss.from_logits is not False:
            continue
        ending = endings.find(loaded.model, place).activation
        if ending in ("linear", endings.LOG_SOFTMAX):
            raise ModelError(
                f"{loss.named}, which takes probabilities, but the model ends in "
                f"{ending} values: to train these as logits set loss (--loss) to "
                f"{loss.options['loss']}, else to another of {', '.join(LOSSES)}"
            )


def _learning(
    told: Mapping[str, Any], compiled: Compiled | None, default: str
) -> tuple[dict[str, Any], str]:
    """Returns (options of optimizer and schedule, a line on them)."""
    state = told.get("optimizer_state", FRESH)
    starts = (
        "its state is the saved one" if state == SAVED else "its state starts fresh"
    )
    if compiled is None or compiled.identifier is None:
        name = told.get("optimizer", default)
        source = "as told" if "optimizer" in told else "the default"
        return {}, f"optimizer {name}: {source}; {starts}"
    if "optimizer" not in told:
        found = compiled.learning()
    else:
        found = _readable(compiled.learning)
        if found is None or found["optimizer"] != told["optimizer"]:
            theirs = f"{compiled.where} was compiled with {compiled.optimizer_name}"
            return {}, f"optimizer {told['optimizer']}: as told; {theirs}; {starts}"
    source = f"{compiled.where} was compiled with it"
    options, line = _rest(found, told, _summary({**found, **told}), source)
    return options, f"{line}; {starts}"


def _readable(read: Any) -> Any:
    """Returns what a model was compiled with, None where that is not understood: what
    is told takes its place."""
    try:
        return read()
    except ModelError:
        return None


def _rest(
    found: Mapping[str, Any], told: Mapping[str, Any], what: str, source: str
) -> tuple[dict[str, Any], str]:
    """Returns (what is found and not told, a line that says what contradicts it)."""
    both = [n for n in found if n in told and n != "hyperparameters"]
    other = [
        f"{n}={_plain(told[n])} as told, not {_plain(found[n])}"
        for n in both
        if told[n] != found[n]
    ]
    numbers = told.get("hyperparameters", {})
    before = found.get("hyperparameters", {})
    other += [
        f"{n}={v:g} as told, not {before[n]:g}"
        for n, v in numbers.items()
        if n in before and before[n] != v
    ]
    taken = {name: value for name, value in found.items() if name not in told}
    if "hyperparameters" in found:
        taken["hyperparameters"] = before
    return taken, "; ".join([f"{what}: {source}", *other])


def _summary(options: Mapping[str, Any]) -> str:
    """Returns "optimizer adam(learning_rate=0.001, ...)"."""
    numbers = {
        "learning_rate": options["learning_rate"],
        **options.get("hyperparameters", {}),
        **{n: v for n, v in options.items() if n.startswith("clip_")},
    }
    if "accumulate" in options:
        numbers["accumulate"] = options["accumulate"]
    said = [f"{name}={value:g}" for name, value in numbers.items() if value is not None]
    if "schedule" in options:
        said.append(f"schedule={_plain(options['schedule'])}")
    return f"optimizer {options['optimizer']}({', '.join(said)})"


def _plain(value: Any) -> Any:
    if isinstance(value, Schedule):
        return value.kind
    return f"{value:g}" if isinstance(value, float) else value
