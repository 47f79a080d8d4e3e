"""Keys that no config has: a misspelt key gets the nearest valid name, a renamed one its new name."""

import dataclasses
import difflib
import itertools
import textwrap
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from configs.errors import InputError

# Characters of a key in a message.
SHOWN_NAME = 80


def check_keys(config_class: type, file: Path) -> bool:
    """Reject a YAML file with an unknown or a duplicate key.

    Returns:
        Whether the file sets any key.

    Raises:
        InputError: an unknown or duplicate key (names file, line, key and the nearest valid name), or invalid YAML.
    """
    try:
        text = file.read_text(encoding="utf-8")
        # Nested aliases could expand beyond any memory.
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise InputError(
                    f"--config {file}: aliases such as `*{event.anchor}` are not supported; write the value itself"
                )
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except FileNotFoundError:
        raise InputError(f"--config {file}: no such file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"--config {file}: not readable as YAML: {' '.join(str(error).split())}") from None
    if node is not None and not isinstance(node, yaml.MappingNode):
        raise InputError(f"--config {file}: expected `key: value` lines")
    if node is None:
        return False
    _check_mapping(config_class, node, file, prefix="")
    return bool(node.value)


def _check_mapping(config_class: type, node: yaml.MappingNode, file: Path, prefix: str) -> None:
    types, renamed = typing.get_type_hints(config_class), former_names(config_class, prefix)
    seen: set[str] = set()
    for key_node, value_node in node.value:
        # A key may be of any length and over several lines.
        key, line = textwrap.shorten(str(key_node.value), SHOWN_NAME), key_node.start_mark.line + 1
        check_former_name(renamed, prefix + key, str(value_node.value), f"{file}:{line}")
        if key not in types:
            known = known_keys(config_class, prefix)
            nested = ", and below it ".join(f"`{name}:`" for name in key.split("."))
            hint = f"; write it nested: {nested}" if prefix + key in known else suggestion(prefix + key, known)
            raise InputError(f"{file}:{line}: unknown key `{prefix}{key}`{hint}")
        if key in seen:
            raise InputError(f"{file}:{line}: key `{prefix}{key}` is set twice; keep one")
        seen.add(key)
        if dataclasses.is_dataclass(types[key]):
            if not isinstance(value_node, yaml.MappingNode):
                raise InputError(f"{file}:{line}: `{prefix}{key}` is a group; put its keys below it, indented")
            _check_mapping(typing.cast(type, types[key]), value_node, file, f"{prefix}{key}.")


def former_names(config_class: type, prefix: str = "") -> dict[str, tuple[str, dict[str, str]]]:
    """Keys with a former name or with renamed values.

    Returns:
        By former key (the key itself if only values were renamed): the current key, and the current value by former
        value. Keys are dotted.
    """
    names: dict[str, tuple[str, dict[str, str]]] = {}
    types = typing.get_type_hints(config_class)
    for field in dataclasses.fields(typing.cast(Any, config_class)):
        if dataclasses.is_dataclass(types[field.name]):
            names |= former_names(typing.cast(type, types[field.name]), f"{prefix}{field.name}.")
        values = {former: current for current, former in field.metadata.get("former_values", {}).items()}
        former_name = field.metadata.get("former_name")
        if former_name or values:
            names[f"{prefix}{former_name or field.name}"] = (f"{prefix}{field.name}", values)
    return names


def check_former_name(names: Mapping[str, tuple[str, dict[str, str]]], key: str, value: str, source: str) -> None:
    """Reject a key or value that was renamed.

    Args:
        names: from `former_names`.
        key: the dotted key.
        value: the value as text.
        source: the start of the message: file and line, or the flag.

    Raises:
        InputError: names the current key or value.
    """
    current, values = names.get(key, (key, {}))
    if current != key:
        raise InputError(f"{source}: `{key}` was renamed to `{current}`")
    if value in values:
        raise InputError(f"{source}: `{key}: {value}` was renamed to `{values[value]}`")


def check_former_names(config_class: type, arguments: Sequence[str]) -> None:
    """Reject flags whose key or value was renamed.

    Raises:
        InputError: names the current key or value.
    """
    names = former_names(config_class)
    for argument, following in itertools.pairwise([*arguments, ""]):
        if argument.startswith("--"):
            key, _, value = argument[2:].partition("=")
            check_former_name(names, key, value or following, f"--{key}")


def known_keys(config_class: type, prefix: str = "") -> list[str]:
    """The dotted keys of a config dataclass, including nested ones."""
    keys = []
    for name, annotation in typing.get_type_hints(config_class).items():
        keys.append(prefix + name)
        if dataclasses.is_dataclass(annotation):
            keys += known_keys(typing.cast(type, annotation), f"{prefix}{name}.")
    return keys


def suggestion(unknown: str, known: Iterable[str]) -> str:
    """The end of an error message that names the nearest valid name; empty if none is near.

    >>> suggestion("optimizer.learning_rat", ["optimizer.learning_rate", "seed"])
    '; did you mean `optimizer.learning_rate`?'
    >>> suggestion("learning_rate", ["optimizer.learning_rate", "seed"])
    '; did you mean `optimizer.learning_rate`?'
    """
    known = list(known)
    last_parts = {name.rsplit(".", 1)[-1]: name for name in reversed(known)}
    for candidates in (known, list(last_parts)):
        matches = difflib.get_close_matches(unknown, candidates, n=1, cutoff=0.6)
        if matches:
            match = matches[0]
            return f"; did you mean `{last_parts.get(match, match) if candidates is not known else match}`?"
    return ""
