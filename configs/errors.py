"""The errors that a person can mend, told in one line."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

ROOMS = ("configs", "tokenizer", "pretrain", "finetune")


class InputError(ValueError):
    """Something a person gave cannot be used: names the key or the file and line, the value, and the fix."""


def refuse_foreign_rooms() -> None:
    """Stop where `tokenizer`, `pretrain` or `finetune` would import somebody else's package.

    Those names also exist on PyPI, and the order of `sys.path` decides who wins.

    Raises:
        InputError: a room is missing or lies outside this checkout.
    """
    root = Path(__file__).resolve().parent.parent
    for room in ROOMS:
        found = importlib.util.find_spec(room)
        origin = Path(found.origin).resolve() if found and found.origin else None
        if origin is None or origin.parent.parent != root:
            raise InputError(
                f"the package `{room}` comes from {origin or 'nowhere'}, not from this checkout ({root}); "
                f"run from {root}, or uninstall the foreign package"
            )


def run_command(program: str, command: Callable[[], None]) -> None:
    """Run `command`; an `InputError` ends the process with one line on stderr and exit status 2, Ctrl-C with 130."""
    try:
        refuse_foreign_rooms()
        command()
    except InputError as error:
        print(f"{program}: error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted; the same command goes on from here", file=sys.stderr, flush=True)
        raise SystemExit(130) from None
