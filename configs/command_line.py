"""YAML files and dotted overrides → validated dataclasses (parsing by jsonargparse).

An unknown key is an error that suggests the nearest valid name. `--help` and `--print_config` document every key with
the docstring of its field.
"""

import dataclasses
import functools
import itertools
import json
import re
import sys
import textwrap
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from configs.errors import InputError
from configs.key_check import check_former_names, check_keys, suggestion

# In the message about a list of texts with another value in it: the key and the value.
NO_TEXT = re.compile(
    r"Parser key \"(?P<key>[\w.]+)\":.*Expected a <class 'str'>\. "
    r"Got value: (?P<value>True|False|None|[-+.\d]\S*)(?: |$)"
)
Config = TypeVar("Config")
# Characters of another library's message.
SHOWN = 300

set_parsing_settings(docstring_parse_attribute_docstrings=True)


class CommandLine(ArgumentParser):
    """A parser that raises a one-line `InputError`, and suggests the nearest valid name for an unknown flag."""

    def __init__(self, program: str, description: str | None = None) -> None:
        super().__init__(prog=program, description=description, allow_abbrev=False)

    def error(self, message: str, ex: Exception | None = None) -> typing.NoReturn:
        """Raise instead of printing the usage, which has about fifty keys.

        Raises:
            InputError: always.
        """
        flags = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
        if match := NO_TEXT.match(message := " ".join(message.split())):
            raise InputError(
                f"{match['key']}: {textwrap.shorten(match['value'], SHOWN)} is not text; words that YAML reads as "
                """another value (yes, no, on, off, true, false, null) and numbers are in quotes: '["yes", "no"]'"""
            ) from ex
        names = re.findall(r"--([\w.+-]+)", message) if "unrecognized arguments" in message else []
        suggestions = [suggestion(name, [flag[2:] for flag in flags]) for name in names]
        raise InputError(message + "".join(suggestions)) from ex


def parse(config_class: type[Config], program: str, arguments: Sequence[str] | None = None) -> Config:
    """Parse a command line: defaults, then `--config FILE.yaml`, then dotted overrides.

    Args:
        config_class: a dataclass whose fields have docstrings.
        program: the command, such as `python -m pretrain`.
        arguments: the command-line arguments; None takes `sys.argv[1:]`.

    Raises:
        InputError: an unknown or repeated key, or a value of the wrong type.
    """
    argv = list(sys.argv[1:] if arguments is None else arguments)
    argv = ["--print_config=comments" if argument == "--print_config" else argument for argument in argv]
    for file in config_files(argv):
        if not check_keys(config_class, file):
            argv = without_config(argv, str(file))
    check_former_names(config_class, argv)
    parser = _parser(config_class, program)
    try:
        namespace: Namespace = parser.parse_args(argv)
        del namespace["config"]
        return config_class(**parser.instantiate(namespace).as_dict())
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        # What the parser does not turn into an error of its own, such as a number of 5,000 digits.
        raise InputError(f"a value cannot be read: {textwrap.shorten(str(error), SHOWN)}") from None


@functools.cache
def _parser(config_class: type, program: str) -> CommandLine:
    """The parser of a class; making it takes several times as long as parsing."""
    parser = CommandLine(program, description=first_paragraph(config_class))
    parser.add_argument("--config", action="config", help="A YAML file with these keys; flags after it override it.")
    parser.add_class_arguments(config_class)
    return parser


def load(config_class: type[Config], file: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Parse a YAML file with dotted `overrides`, as `--config FILE` does.

    Raises:
        InputError: as `parse`.
    """
    flags = [f"--{key}={value_text(value)}" for key, value in (overrides or {}).items()]
    return parse(config_class, config_class.__name__, ["--config", str(file), *flags])


def value_text(value: Any) -> str:
    """A value as text for the command line.

    >>> value_text(0.001), value_text("2 epochs"), value_text([1, 2]), value_text(None)
    ('0.001', '2 epochs', '[1, 2]', 'null')
    """
    return value if isinstance(value, str) else json.dumps(value)


def config_files(arguments: Sequence[str]) -> list[Path]:
    """The files passed with `--config`.

    >>> config_files(["--config", "a.yaml", "--seed", "3", "--config=b.yaml"])
    [PosixPath('a.yaml'), PosixPath('b.yaml')]
    """
    pairs = itertools.pairwise([*arguments, ""])
    separate = [Path(following) for argument, following in pairs if argument == "--config" and following]
    return separate + [Path(argument[9:]) for argument in arguments if argument.startswith("--config=")]


def without_config(arguments: Sequence[str], file: str) -> list[str]:
    """The arguments without `--config file`, for a file that sets no key.

    >>> without_config(["--config", "a.yaml", "--seed", "3", "--config=a.yaml"], "a.yaml")
    ['--seed', '3']
    """
    pairs = list(itertools.pairwise(["", *arguments, ""]))
    return [
        argument
        for index, (previous, argument) in enumerate(pairs[:-1])
        if argument != f"--config={file}"
        and (previous, argument) != ("--config", file)
        and (argument, pairs[index + 1][1]) != ("--config", file)
    ]


def first_paragraph(config_class: type) -> str:
    """The first paragraph of a class docstring."""
    return (config_class.__doc__ or "").strip().split("\n\n")[0]


def as_dict(config: Any) -> dict[str, Any]:
    """A config dataclass as nested dictionaries, for YAML or JSON."""
    return dataclasses.asdict(config)


def dotted(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of nested dictionaries by dotted key, as flags have them.

    >>> dotted({"seed": 1, "model": {"size": "tiny", "layers": None}})
    {'seed': 1, 'model.size': 'tiny', 'model.layers': None}
    """
    values: dict[str, Any] = {}
    for name, value in config.items():
        inner = dotted(value) if isinstance(value, dict) else None
        values |= {name: value} if inner is None else {f"{name}.{key}": one for key, one in inner.items()}
    return values
