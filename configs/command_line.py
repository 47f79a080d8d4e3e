"""YAML files and dotted overrides → checked dataclasses (parsing by jsonargparse).

A key that no dataclass has is refused with the nearest name that one has. `--help` and `--print_config`
explain every key with the docstring under its field.
"""

import dataclasses
import difflib
import itertools
import json
import re
import sys
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from configs.errors import InputError

Config = TypeVar("Config")

set_parsing_settings(docstring_parse_attribute_docstrings=True)


class CommandLine(ArgumentParser):
    """A parser whose every refusal is one `InputError` line, with the nearest valid name for an unknown flag."""

    def __init__(self, program: str, description: str | None = None) -> None:
        super().__init__(prog=program, description=description, allow_abbrev=False)

    def error(self, message: str, ex: Exception | None = None) -> typing.NoReturn:
        """Raise instead of printing the usage of some fifty keys.

        Raises:
            InputError: always.
        """
        flags = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
        names = re.findall(r"--([\w.+-]+)", message) if "unrecognized arguments" in message else []
        hints = [suggestion(name, [flag[2:] for flag in flags]) for name in names]
        raise InputError(" ".join(message.split()) + "".join(hints)) from ex


def parse(config_class: type[Config], program: str, arguments: Sequence[str] | None = None) -> Config:
    """The config of one command: defaults, then `--config FILE.yaml`, then dotted overrides.

    Args:
        config_class: a dataclass, its fields documented by the docstrings under them.
        program: the command as typed, such as `python -m pretrain`.
        arguments: what follows the command; `sys.argv[1:]` where None.

    Raises:
        InputError: an unknown or repeated key, or a value of the wrong type.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    given = ["--print_config=comments" if part == "--print_config" else part for part in given]
    for file in config_files(given):
        if not check_keys(config_class, file):
            given = without(given, str(file))
    check_former_names(config_class, given)
    parser = CommandLine(program, description=first_paragraph(config_class))
    parser.add_argument("--config", action="config", help="A YAML file with these keys; flags after it override it.")
    parser.add_class_arguments(config_class)
    namespace: Namespace = parser.parse_args(given)
    del namespace["config"]
    return config_class(**parser.instantiate(namespace).as_dict())


def load(config_class: type[Config], file: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """The config that `--config FILE` with these dotted `overrides` gives.

    Raises:
        InputError: as `parse`.
    """
    flags = [f"--{key}={value_text(value)}" for key, value in (overrides or {}).items()]
    return parse(config_class, str(file), ["--config", str(file), *flags])


def value_text(value: Any) -> str:
    """A value as one would type it behind a flag.

    >>> value_text(0.001), value_text("2 epochs"), value_text([1, 2]), value_text(None)
    ('0.001', '2 epochs', '[1, 2]', 'null')
    """
    return value if isinstance(value, str) else json.dumps(value)


def config_files(arguments: Sequence[str]) -> list[Path]:
    """The files behind `--config`.

    >>> config_files(["--config", "a.yaml", "--seed", "3", "--config=b.yaml"])
    [PosixPath('a.yaml'), PosixPath('b.yaml')]
    """
    pairs = itertools.pairwise([*arguments, ""])
    spaced = [Path(following) for argument, following in pairs if argument == "--config" and following]
    return spaced + [Path(argument[9:]) for argument in arguments if argument.startswith("--config=")]


def without(arguments: Sequence[str], file: str) -> list[str]:
    """The arguments but for `--config file`, for a file that sets nothing.

    >>> without(["--config", "a.yaml", "--seed", "3", "--config=a.yaml"], "a.yaml")
    ['--seed', '3']
    """
    pairs = list(itertools.pairwise(["", *arguments, ""]))
    return [
        argument
        for number, (before, argument) in enumerate(pairs[:-1])
        if argument != f"--config={file}"
        and (before, argument) != ("--config", file)
        and (argument, pairs[number + 1][1]) != ("--config", file)
    ]


def check_keys(config_class: type, file: Path) -> bool:
    """Refuse a YAML file with a key that `config_class` lacks, or with the same key twice.

    Returns:
        Whether the file sets any key at all.

    Raises:
        InputError: names file, line and key, and the nearest valid name; or the file cannot be read as YAML.
    """
    try:
        text = file.read_text(encoding="utf-8")
        # An alias of an alias of an alias … may stand for more than any memory holds.
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise InputError(
                    f"--config {file}: aliases such as `*{event.anchor}` are not read; write the value out"
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
        key, line = str(key_node.value), key_node.start_mark.line + 1
        check_former_name(renamed, prefix + key, str(value_node.value), f"{file}:{line}")
        if key not in types:
            known = known_keys(config_class, prefix)
            nested = ", and below it ".join(f"`{part}:`" for part in key.split("."))
            hint = f"; write it nested: {nested}" if prefix + key in known else suggestion(prefix + key, known)
            raise InputError(f"{file}:{line}: unknown key `{prefix}{key}`{hint}")
        if key in seen:
            raise InputError(f"{file}:{line}: key `{prefix}{key}` is given twice; keep one")
        seen.add(key)
        if dataclasses.is_dataclass(types[key]):
            if not isinstance(value_node, yaml.MappingNode):
                raise InputError(f"{file}:{line}: `{prefix}{key}` is a group; put its keys below it, indented")
            _check_mapping(typing.cast(type, types[key]), value_node, file, f"{prefix}{key}.")


def former_names(config_class: type, prefix: str = "") -> dict[str, tuple[str, dict[str, str]]]:
    """Renamed keys: by every dotted name a key has or had, its name now and, by former name, its renamed values.

    A key that has kept its name stands here if some of its values were renamed.
    """
    names: dict[str, tuple[str, dict[str, str]]] = {}
    types = typing.get_type_hints(config_class)
    for field in dataclasses.fields(typing.cast(Any, config_class)):
        if dataclasses.is_dataclass(types[field.name]):
            names |= former_names(typing.cast(type, types[field.name]), f"{prefix}{field.name}.")
        values = {former: now for now, former in field.metadata.get("former_values", {}).items()}
        former_name = field.metadata.get("former_name")
        if former_name or values:
            names[f"{prefix}{former_name or field.name}"] = (f"{prefix}{field.name}", values)
    return names


def check_former_name(names: Mapping[str, tuple[str, dict[str, str]]], key: str, value: str, where: str) -> None:
    """Refuse a key or value that has another name now.

    Args:
        names: of `former_names`.
        key: dotted, as given.
        value: as given.
        where: what the message begins with.

    Raises:
        InputError: names the key or value as it is called now.
    """
    now, values = names.get(key, (key, {}))
    if now != key:
        raise InputError(f"{where}: `{key}` is called `{now}` now")
    if value in values:
        raise InputError(f"{where}: `{key}: {value}` is called `{values[value]}` now")


def check_former_names(config_class: type, arguments: Sequence[str]) -> None:
    """Refuse flags whose key or value has another name now.

    Raises:
        InputError: names the key or value as it is called now.
    """
    names = former_names(config_class)
    for argument, following in itertools.pairwise([*arguments, ""]):
        if argument.startswith("--"):
            key, _, value = argument[2:].partition("=")
            check_former_name(names, key, value or following, f"--{key}")


def known_keys(config_class: type, prefix: str = "") -> list[str]:
    """Every dotted key of a config dataclass, nested ones included."""
    keys = []
    for name, kind in typing.get_type_hints(config_class).items():
        keys.append(prefix + name)
        if dataclasses.is_dataclass(kind):
            keys += known_keys(typing.cast(type, kind), f"{prefix}{name}.")
    return keys


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """The words that point from a misspelt name to the nearest valid one, or nothing.

    >>> suggestion("optimizer.learning_rat", ["optimizer.learning_rate", "seed"])
    '; did you mean `optimizer.learning_rate`?'
    >>> suggestion("learning_rate", ["optimizer.learning_rate", "seed"])
    '; did you mean `optimizer.learning_rate`?'
    """
    known = list(known)
    last_parts = {name.rsplit(".", 1)[-1]: name for name in reversed(known)}
    for candidates in (known, list(last_parts)):
        near = difflib.get_close_matches(wrong, candidates, n=1, cutoff=0.6)
        if near:
            return f"; did you mean `{last_parts.get(near[0], near[0]) if candidates is not known else near[0]}`?"
    return ""


def first_paragraph(config_class: type) -> str:
    """The opening paragraph of a class's docstring."""
    return (config_class.__doc__ or "").strip().split("\n\n")[0]


def as_dict(config: Any) -> dict[str, Any]:
    """A config dataclass as plain nested dictionaries, ready for YAML or JSON."""
    return dataclasses.asdict(config)
