"""Exceptions that end a command with one line on stderr and an exit status."""

import errno
import importlib.util
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

ROOMS = ("configs", "tokenizer", "pretrain", "finetune")

# EX_TEMPFAIL of sysexits.h, which schedulers take as a request to requeue the job.
STOPPED = 75
# A folder that may not be written to or read, a file where a folder should be, a link in a circle, a name too long.
NOT_WRITABLE = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG,
)  # fmt: skip
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class InputError(ValueError):
    """A user error: names the key or the file and line, the value, and the fix."""


class RunError(RuntimeError):
    """A failure that is not a user error: a full disk, a lost process, a NaN loss."""


class Interrupted(SystemExit):
    """SIGINT or SIGTERM ended the run; exits with `STOPPED`, and running the same command again resumes it."""

    def __init__(self, number: int) -> None:
        super().__init__(STOPPED)
        self.number = number


def check_package_origins() -> None:
    """Check that `configs`, `tokenizer`, `pretrain` and `finetune` are imported from this checkout.

    Packages with these names also exist on PyPI, and the order of `sys.path` decides which one is imported.

    Raises:
        InputError: a package is missing or outside this checkout.
    """
    root = Path(__file__).resolve().parent.parent
    for package in ROOMS:
        spec = importlib.util.find_spec(package)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin is None or origin.parent.parent != root:
            raise InputError(
                f"the package `{package}` comes from {origin or 'nowhere'}, not from this checkout ({root}); "
                f"run from {root}, or uninstall the other package"
            )


def run_command(program: str, command: Callable[[], None]) -> None:
    """Run `command`; errors and signals end it with one line on stderr and an exit status.

    2: an `InputError`, or a path that cannot be used; 1: a `RunError` or a full disk; 75: SIGINT or SIGTERM.
    """
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        check_package_origins()
        command()
    except InputError as error:
        _exit(program, f"error: {error}", 2)
    except RunError as error:
        _exit(program, f"stopped: {error}", 1)
    except OSError as error:
        if error.errno in NOT_WRITABLE and error.filename is not None:
            _exit(program, f"error: {error.filename}: {error.strerror}", 2)
        if error.errno not in DISK_FULL:
            raise
        file = f" ({error.filename})" if error.filename else ""
        _exit(program, f"stopped: {error.strerror}{file}; finished work is kept: free disk space and run again", 1)
    except (KeyboardInterrupt, Interrupted):
        _exit(program, "interrupted; run the same command again to resume", STOPPED)


def _exit(program: str, message: str, status: int) -> NoReturn:
    # One line, whatever names and values it quotes.
    print(f"{program}: {' '.join(message.splitlines())}", file=sys.stderr, flush=True)
    raise SystemExit(status) from None


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted(number)
