"""Exceptions that end a command with one line on stderr and an exit status."""

import contextlib
import errno
import importlib.util
import os
import re
import select
import signal
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType
from typing import NoReturn

ROOMS = ("configs", "tokenizer", "pretrain", "finetune")

USER_ERROR = 2
# EX_TEMPFAIL of sysexits.h, which schedulers take as a request to requeue the job.
STOPPED = 75
RESUME = "run the same command again to resume"
# As a shell tells of a process that SIGPIPE has ended.
READER_GONE = 141
# A folder that may not be written to or read, a file where a folder should be, a link in a circle, a name too long.
NOT_WRITABLE = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG,
)  # fmt: skip
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# How libraries written in Rust, such as safetensors, tell the system's error: theirs are no `OSError`.
RUST_ERROR = re.compile(r"\(os error (\d+)\)")


class InputError(ValueError):
    """A user error: names the key or the file and line, the value, and the fix."""


class RunError(RuntimeError):
    """A failure that is not a user error: a full disk, a lost process, a NaN loss."""


class Interrupted(SystemExit):
    """SIGINT or SIGTERM ended the run; exits with `STOPPED`, and running the same command again resumes it."""

    def __init__(self, number: int, advice: str = RESUME) -> None:
        super().__init__(STOPPED)
        self.number, self.advice = number, advice


@contextlib.contextmanager
def advice_if_interrupted(advice: str) -> Generator[None]:
    """Let the command that is interrupted within end with this advice, where nothing is resumed."""
    try:
        yield
    except (KeyboardInterrupt, Interrupted) as error:
        raise Interrupted(getattr(error, "number", signal.SIGINT), advice) from None


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


def run_command(program: str, command: Callable[[], None], several_processes: bool = False) -> None:
    """Run `command`; errors and signals end it with one line on stderr and an exit status.

    Unless it is made for `several_processes` of a launcher, it is refused there: each would do everything, into the
    same files, and what they start would take itself for a part of the whole.

    2: an `InputError`, or a path that cannot be used; 1: a `RunError` or a full disk; 75: SIGINT or SIGTERM. If nobody
    reads what it prints any more (`| head`), 141 without a line.
    """
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        check_package_origins()
        if not several_processes and (processes := int(os.environ.get("WORLD_SIZE") or 1)) > 1:
            raise InputError(f"{processes} processes were started, and this command is one; start it with `{program}`")
        command()
        sys.stdout.flush()
    except InputError as error:
        _exit(program, f"error: {error}", USER_ERROR)
    except RunError as error:
        _exit(program, f"stopped: {error}", 1)
    except (KeyboardInterrupt, Interrupted) as error:
        _exit(program, f"interrupted; {getattr(error, 'advice', RESUME)}", STOPPED)
    except Exception as error:
        number, file = error_number(error), getattr(error, "filename", None)
        if number == errno.EPIPE and _reader_has_gone():
            raise SystemExit(READER_GONE) from None
        if number in NOT_WRITABLE and file is not None:
            _exit(program, f"error: {file}: {os.strerror(number)}", USER_ERROR)
        if number not in DISK_FULL:
            raise
        what = os.strerror(number) + (f" ({file})" if file else "")
        _exit(program, f"stopped: {what}; finished work is kept: free disk space and run again", 1)


def error_number(error: Exception) -> int | None:
    """The number of the system's error, if it is one.

    >>> error_number(ValueError("I/O error: No space left on device (os error 28)")), error_number(ValueError("1"))
    (28, None)
    """
    if isinstance(error, OSError):
        return error.errno
    told = RUST_ERROR.search(str(error))
    return None if told is None else int(told[1])


def _reader_has_gone() -> bool:
    """Whether standard output is a pipe that nobody reads; it then takes whatever is still to be written."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    # Not another pipe, such as one to a process that has died.
    has_gone = any(event & select.POLLERR for _, event in poll.poll(0))
    if has_gone:
        # Python writes the rest when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return has_gone


def _exit(program: str, message: str, status: int) -> NoReturn:
    # One line, whatever names and values it quotes.
    print(f"{program}: {' '.join(message.splitlines())}", file=sys.stderr, flush=True)
    raise SystemExit(status) from None


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted(number)
