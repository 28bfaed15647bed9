"""Settings of a run: node inputs that differ from what the nodes ship with, for ablations.

``energy_scale=2`` sets that input on every Dragon node that has it, ``DragonSampler.cfg=3`` on one node. A variant is a
named set of them over a method: ``strong:energy_scale=2,cfg=3`` (over ``dragon``) or ``strong@guidance_only:energy_scale=2``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Value = str | int | float | bool
Inputs = Mapping[str, object]


class SettingError(ValueError):
    """A setting cannot be read or fits no node."""


@dataclass(frozen=True)
class Settings:
    """Overrides of node inputs; keys are ``input`` or ``Node.input``, the latter winning."""

    overrides: Mapping[str, Value] = field(default_factory=dict)

    def over(self, other: Settings) -> Settings:
        """These settings on top of ``other``."""
        return Settings({**other.overrides, **self.overrides})

    def of_node(self, node_id: str, names: Iterable[str]) -> dict[str, Value]:
        """What these settings say about the inputs ``names`` of one node."""
        chosen: dict[str, Value] = {}
        for name in names:
            for key in (name, f"{node_id}.{name}"):
                if key in self.overrides:
                    chosen[name] = self.overrides[key]
        return chosen


@dataclass(frozen=True)
class Variant:
    """A method under a name of its own, with settings."""

    name: str
    method: str
    settings: Settings


def parse_overrides(text: str) -> Settings:
    """``key=value,key=value``; values are numbers, true/false, or words."""
    overrides: dict[str, Value] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value):
            raise SettingError(f"'{part}' is not key=value.")
        overrides[key] = _parse_value(value)
    return Settings(overrides)


def parse_variant(text: str, default_method: str = "dragon") -> Variant:
    """``name:key=value,…`` or ``name@method:key=value,…``."""
    head, _, settings = text.partition(":")
    name, _, method = head.partition("@")
    if not name:
        raise SettingError(f"'{text}' has no name; write name:key=value,key=value.")
    return Variant(name, method or default_method, parse_overrides(settings))


def _parse_value(text: str) -> Value:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if not isinstance(value, str | int | float | bool):
        raise SettingError(f"'{text}' is not a number, true, false or a word.")
    return value
