"""Flags of `convert.py`, made from the configurations of the methods.

Every field of a configuration has a flag, by its own name, with the text of the
docstring's "Attributes" and the default beside the field. A field that is a dataclass
itself has one for each of its fields. What is not given stays the configuration's.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from absl import flags

from tflite_odl import methods
from tflite_odl.errors import ModelError
from tflite_odl.methods.skip import config as skip

# Fields of dataclasses within whose own names say too little.
RENAMED = {("schedule", "kind"): "schedule", ("preprocessing", "dtype"): "input_dtype"}
# What precedes the names of a dataclass within: several have fields of one name.
PREFIXES = {"images": "image_", "sensors": "sensor_"}
PUBLISHED = "as_published"
HELP = {"--help", "-help", "-h", "--helpshort"}


@dataclasses.dataclass
class Option:
    """A field as a flag.

    Attributes:
      path: the field, or the outer field and the one within.
      hint: its type.
      about: help text, default included.
      group: what the flags of a class have in common.
      methods: names of those that have it.
    """

    path: tuple[str, ...]
    hint: Any
    about: str
    group: str
    methods: list[str] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        prefix = PREFIXES.get(self.path[0], "")
        return RENAMED.get(self.path, prefix + self.path[-1])

    @property
    def heading(self) -> str:
        """The group, and the method that has it if no other does."""
        only = f" (--method={self.methods[0]})" if len(self.methods) == 1 else ""
        return f"{self.group}{only}"


def known() -> dict[str, Option]:
    """Returns the options of all methods by the names of their flags."""
    found: dict[str, Option] = {}
    for method in methods.REGISTERED:
        for option in _options_of(methods.config_class(method)):
            same = found.setdefault(option.name, option)
            if (same.path, same.hint) != (option.path, option.hint):
                raise ValueError(f"two methods mean different things by {option.name}")
            same.methods.append(method)
    return found


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags, None where they are not given."""
    every = known()
    for option in every.values():
        flag = _flag(option.name, option.hint, option.about)
        flags.DEFINE_flag(flag, values, option.heading)
    settings = ", ".join(f"{name}={value}" for name, value in skip.PUBLISHED.items())
    about = f"as published: {settings}; flags given beside it win"
    flag = flags.BooleanFlag(PUBLISHED, False, about)
    flags.DEFINE_flag(flag, values, every["policy"].heading)


def options(
    method: str, defaults: Mapping[str, Any], values: flags.FlagValues = flags.FLAGS
) -> dict[str, Any]:
    """Returns the fields of a method's configuration that are given.

    Args:
      method: its name.
      defaults: of fields, in place of the configuration's own; others are left out.

    Raises:
      ModelError: a flag of another method, or a value that is no number.
    """
    config = methods.config_class(method)
    fields = {field.name: field for field in dataclasses.fields(config)}
    found = {name: value for name, value in defaults.items() if name in fields}
    if values[PUBLISHED].value:
        _check_owner(PUBLISHED, ["skip"], method)
        found |= skip.PUBLISHED
    for name, option in known().items():
        if values[name].value is None:
            continue
        _check_owner(name, option.methods, method)
        value = _converted(name, option.hint, values[name].value)
        field, *inner = option.path
        if inner:
            base = found.get(field, _default(fields[field]))
            value = dataclasses.replace(base, **{inner[0]: value})
        found[field] = value
    return found


def given(name: str, values: flags.FlagValues = flags.FLAGS) -> bool:
    """Whether an option's flag was typed."""
    return values[name].value is not None


def parse(argv: list[str]) -> list[str]:
    """Parses the flags, for `app.run`; `--help` prints them in groups and exits."""
    if not HELP.intersection(argv):
        return flags.FLAGS(argv)
    print(inspect.getdoc(sys.modules["__main__"]))
    headings = dict.fromkeys(option.heading for option in known().values())
    for heading in (argv[0], "quiet", *headings):
        print(flags.FLAGS.module_help(heading))
    sys.exit(0)


def _check_owner(name: str, owners: list[str], method: str) -> None:
    if method not in owners:
        raise ModelError(
            f"--{name} is of --method={' | '.join(owners)}: --method={method} has no "
            "such option"
        )


def _options_of(config: type) -> Iterator[Option]:
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        owner = _owner(config, field.name)
        group, default = _heading(owner), _default(field)
        kind = _dataclass_of(hints[field.name])
        if kind is None:
            about = _about(owner, field.name, default)
            yield Option((field.name,), hints[field.name], about, group)
            continue
        within = typing.get_type_hints(kind)
        for part in dataclasses.fields(kind):
            about = _about(kind, part.name, getattr(default, part.name))
            path = (field.name, part.name)
            yield Option(path, within[part.name], f"{field.name}: {about}", group)


def _owner(config: type, field: str) -> type:
    """Returns the class that declares a field."""
    return next(
        c for c in config.__mro__ if field in vars(c).get("__annotations__", ())
    )


def _default(field: dataclasses.Field) -> Any:
    make = field.default_factory
    return field.default if make is dataclasses.MISSING else make()


def _dataclass_of(hint: Any) -> type | None:
    return next((kind for kind in _kinds(hint) if dataclasses.is_dataclass(kind)), None)


def _kinds(hint: Any) -> tuple[Any, ...]:
    """Returns what a value of the type can be, None left out."""
    union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    kinds = typing.get_args(hint) if union else (hint,)
    return tuple(kind for kind in kinds if kind is not types.NoneType)


def _heading(owner: type) -> str:
    return inspect.cleandoc(owner.__doc__).split("\n")[0].split(";")[0].rstrip(".")


def _about(owner: type, name: str, default: Any) -> str:
    """Returns what a docstring says of a field, and its default."""
    text = inspect.cleandoc(owner.__doc__)
    found = re.search(rf"^  {name}: (.*(?:\n    .*)*)", text, re.MULTILINE)
    if not found:
        raise ValueError(f"{owner.__name__} says nothing of its field {name}")
    said = re.sub(r"\s+", " ", found[1]).rstrip(".")
    said = re.sub(r"(?:a )?key of `([\w.]+)`", lambda m: _keys(owner, m[1]), said)
    return said if default in (None, (), {}) else f"{said} (default: {default})"


def _keys(owner: type, place: str) -> str:
    """Returns the keys of a mapping, as it is named in the owner's module."""
    found: Any = sys.modules[owner.__module__]
    for name in place.split("."):
        found = getattr(found, name)
    return "one of " + ", ".join(found)


def _flag(name: str, hint: Any, about: str) -> flags.Flag:
    kind = _kinds(hint)[0]
    if kind is bool:
        return flags.BooleanFlag(name, None, about)
    parsers = {
        int: flags.IntegerParser,
        float: flags.FloatParser,
        str: flags.ArgumentParser,
    }
    single = len(_kinds(hint)) == 1 and kind in parsers
    if single:
        return flags.Flag(
            parsers[kind](), flags.ArgumentSerializer(), name, None, about
        )
    origin = {typing.get_origin(kind) for kind in _kinds(hint)}
    shape = "name=value,..." if Mapping in origin else "comma-separated"
    serializer = flags.ListSerializer(",")
    return flags.Flag(flags.ListParser(), serializer, name, None, f"{about}; {shape}")


def _converted(name: str, hint: Any, value: Any) -> Any:
    """Returns a flag's value as the field takes it."""
    if not isinstance(value, list):
        return value
    kinds = _kinds(hint)
    if typing.get_origin(kinds[0]) is Mapping:
        pairs = [text.partition("=")[::2] for text in value]
        return {key: _number(f"{name}={key}", text) for key, text in pairs}
    numbers = tuple(_number(name, text) for text in value)
    return numbers[0] if float in kinds and len(numbers) == 1 else numbers


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ModelError(f"--{name}: {text!r} is no number") from error
