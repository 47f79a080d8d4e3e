"""What a config field says beside its default: whether it counts in a run's digest, and what it used to be called."""

import dataclasses
from collections.abc import Mapping
from typing import Any


def outside_digest(default: Any) -> Any:
    """A config field that changes how a run is watched or stored but not what it computes."""
    return dataclasses.field(default=default, metadata={"outside_digest": True})


def renamed(default: Any, former_name: str | None = None, former_values: Mapping[str, str] | None = None) -> Any:
    """A config field with a new name, or whose values have new names.

    Digests are computed with the former names, so that runs made before the renaming are still found. The former names
    are refused on the command line and in YAML files with a hint at the new ones.

    Args:
        default: of the field.
        former_name: of the field; None where it has not changed.
        former_values: the former name of each renamed value, by its name now.
    """
    return dataclasses.field(
        default=default, metadata={"former_name": former_name, "former_values": dict(former_values or {})}
    )


def added_later(default: Any) -> Any:
    """A config field that came after runs were made without it: at its default it is not in the digest."""
    return dataclasses.field(default=default, metadata={"added_later": True})


def digested(config: Any) -> dict[str, Any]:
    """The part of a config that decides what a run computes, nested dataclasses as dictionaries.

    >>> @dataclasses.dataclass
    ... class Config:
    ...     seed: int = 0
    ...     plan: str = renamed("bert", "pairs", {"bert": "faithful"})
    ...     optimizer: str = added_later("adamw")
    ...     runs: str = outside_digest("runs")
    >>> digested(Config())
    {'seed': 0, 'pairs': 'faithful'}
    """
    values = {}
    for field in dataclasses.fields(config):
        if field.metadata.get("outside_digest"):
            continue
        value = getattr(config, field.name)
        if field.metadata.get("added_later") and value == field.default:
            continue
        name = field.metadata.get("former_name") or field.name
        if dataclasses.is_dataclass(value):
            values[name] = digested(value)
        else:
            former_values = field.metadata.get("former_values", {})
            values[name] = former_values.get(value, value) if former_values else value
    return values
