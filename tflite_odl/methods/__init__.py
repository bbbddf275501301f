"""The methods, by name; each is imported when it is first used.

A configuration is imported without TensorFlow, so that command lines can make their
flags of it.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Registration:
    """Where a method is.

    Attributes:
      method: "module:class" in this package, of the method.
      config: likewise, of the dataclass that configures it.
    """

    method: str
    config: str


REGISTERED = {
    "finetune": Registration("finetune:Finetune", "config:SupervisedConfig"),
    "contrastive": Registration(
        "contrastive.method:Contrastive", "contrastive.config:ContrastiveConfig"
    ),
    "distill": Registration("distill.method:Distill", "distill.config:DistillConfig"),
    "skip": Registration("skip.method:Skip", "skip.config:SkipConfig"),
}


class _Methods(Mapping[str, type]):
    """Method classes by name."""

    def __getitem__(self, name: str) -> type:
        return _find(REGISTERED[name].method)

    def __iter__(self) -> Iterator[str]:
        return iter(REGISTERED)

    def __len__(self) -> int:
        return len(REGISTERED)


METHODS = _Methods()


def config_class(name: str) -> type:
    """Returns the dataclass that configures a method."""
    return _find(REGISTERED[name].config)


def _find(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def __getattr__(name: str) -> Any:
    """Returns a method by its class' name, as `methods.Finetune`."""
    for registration in REGISTERED.values():
        if registration.method.endswith(f":{name}"):
            return _find(registration.method)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
