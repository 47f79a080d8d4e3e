"""Metadata of config fields: whether a field counts in the digest, and its former name and values."""

import dataclasses
from collections.abc import Mapping
from typing import Any


def outside_digest(default: Any) -> Any:
    """A config field that changes how a run is logged or stored but not its results."""
    return dataclasses.field(default=default, metadata={"outside_digest": True})


def renamed(default: Any, former_name: str | None = None, former_values: Mapping[str, str] | None = None) -> Any:
    """A config field that was renamed, or whose values were.

    Digests use the former names, so that older runs are still found. Former names on the command line and in YAML
    files are rejected, with the new name in the message.

    Args:
        default: the default value.
        former_name: the former name of the field; None if it was not renamed.
        former_values: the former value by current value.
    """
    return dataclasses.field(
        default=default, metadata={"former_name": former_name, "former_values": dict(former_values or {})}
    )


def added_later(default: Any) -> Any:
    """A config field that older runs lack: at its default it is not in the digest."""
    return dataclasses.field(default=default, metadata={"added_later": True})


def digested_as(default: Any, former_default: Any, others: Mapping[Any, Any] | None = None) -> Any:
    """A config field whose default was `former_default` and meant the same: digests still use that value.

    Args:
        default: the default value.
        former_default: the value in digests.
        others: the values in digests of other values, such as of `former_default` where it means something else now.
    """
    return dataclasses.field(
        default=default, metadata={"digested_values": {default: former_default} | dict(others or {})}
    )


def digested(config: Any) -> dict[str, Any]:
    """The fields of a config that count in the digest, with nested dataclasses as dictionaries.

    >>> @dataclasses.dataclass
    ... class Config:
    ...     seed: int = 0
    ...     plan: str = renamed("bert", "pairs", {"bert": "faithful"})
    ...     optimizer: str = added_later("adamw")
    ...     test: str | None = digested_as(None, "test")
    ...     runs: str = outside_digest("runs")
    >>> digested(Config())
    {'seed': 0, 'pairs': 'faithful', 'test': 'test'}
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
            nested = digested(value)
            if nested or not field.metadata.get("added_later"):
                values[name] = nested
        else:
            former_values = field.metadata.get("former_values") or field.metadata.get("digested_values")
            values[name] = former_values.get(value, value) if former_values else value
    return values
