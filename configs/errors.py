"""The errors that a person can mend, told in one line."""

import errno
import importlib.util
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

ROOMS = ("configs", "tokenizer", "pretrain", "finetune")

# EX_TEMPFAIL of sysexits.h: "the user is invited to retry", which is what a scheduler that queues again looks for.
STOPPED = 75
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class InputError(ValueError):
    """Something a person gave cannot be used: names the key or the file and line, the value, and the fix."""


class RunError(RuntimeError):
    """A run cannot go on, through no fault of its keys: a full disk, a lost process, a loss that is no number."""


class Interrupted(SystemExit):
    """A signal asked this process to end; its exit status says that the same command goes on from here."""

    def __init__(self, number: int) -> None:
        super().__init__(STOPPED)
        self.number = number


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
    """Run `command`; whatever a person or a scheduler has to know ends it with one line on stderr and a status.

    2: an `InputError`; 1: a `RunError`, or a disk that is full; 75: ended by SIGINT or SIGTERM.
    """
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        refuse_foreign_rooms()
        command()
    except InputError as error:
        _leave(program, f"error: {error}", 2)
    except RunError as error:
        _leave(program, f"stopped: {error}", 1)
    except OSError as error:
        if error.errno not in FULL:
            raise
        where = f" ({error.filename})" if error.filename else ""
        _leave(program, f"stopped: {error.strerror}{where}; what is finished is kept: make room and run again", 1)
    except (KeyboardInterrupt, Interrupted):
        _leave(program, "interrupted; the same command goes on from here", STOPPED)


def _leave(program: str, message: str, status: int) -> NoReturn:
    print(f"{program}: {message}", file=sys.stderr, flush=True)
    raise SystemExit(status) from None


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted(number)
