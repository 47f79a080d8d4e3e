"""Requests to the Hub that are tried again: after a lost connection, an overload, a request to wait."""

import contextlib
import json
import logging
import re
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from configs.errors import InputError

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

# Answers after which the same request may succeed: timeouts, too many requests, faults of the server.
TRANSIENT = (408, 429, 500, 502, 503, 504)
ATTEMPTS = 6
# Seconds before the second attempt; each further one waits twice as long, up to the longest.
FIRST_WAIT, LONGEST_BACKOFF = 1.0, 16.0
# The Hub counts requests in windows of five minutes; a longer wait is told, not sat out.
LONGEST_WAIT = 310.0
# The requests of a window are spent; seconds until the next one.
SPENT = re.compile(r";\s*r\s*=\s*0+\s*;\s*t\s*=\s*(\d+)")
# Seconds without a byte in either direction after which a connection counts as lost; the library would wait for ever.
SILENCE = 120.0


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in TRANSIENT
    # A page in place of JSON is what overloaded servers send.
    return isinstance(error, httpx2.TransportError | json.JSONDecodeError)


def patiently(request: Callable[[], Answer], what: str, attempts: int = ATTEMPTS) -> Answer:
    """The answer of a request, which is tried again while that may help.

    Args:
        request: the request; it must do no harm if it is sent twice.
        what: its name, for the log.
        attempts: the largest number of tries.

    Raises:
        Exception: what the last try raised.
    """
    for attempt in range(1, attempts):
        try:
            return request()
        except Exception as error:
            if not is_transient(error):
                raise
            pause(error, attempt, what)
    return request()


def pause(error: Exception, attempt: int, what: str) -> None:
    """Wait before the next try: as long as the Hub asks for, else longer each time."""
    response = getattr(error, "response", None)
    seconds = None if response is None else requested_wait(response.headers)
    if seconds is None:
        seconds = min(LONGEST_BACKOFF, FIRST_WAIT * 2 ** (attempt - 1))
    log.info("hub: %s failed (%s); trying again in %.0f s", what, _short(error), seconds)
    time.sleep(seconds)


def _short(error: Exception) -> str:
    response = getattr(error, "response", None)
    return type(error).__name__ if response is None else f"HTTP {response.status_code}"


def requested_wait(headers: Any) -> float | None:
    """The seconds that an answer asks to wait, by `Retry-After` or the Hub's own header; None if it does not say.

    >>> requested_wait({"Retry-After": "3"}), requested_wait({"Retry-After": "soon"}), requested_wait({})
    (3.0, None, None)
    >>> requested_wait({"RateLimit": '"api";r=0;t=55'}), requested_wait({"RateLimit": '"api";r=12;t=55'})
    (55.0, None)
    """
    value = str(headers.get("Retry-After", "")).strip()
    if value.isascii() and value.isdigit():
        return float(value)
    spent = SPENT.search(str(headers.get("RateLimit", "")))
    return float(spent[1]) if spent else None


def _refuse_long_waits(response: Any) -> None:
    """Called with every answer, before the library sees it; it would sleep for any time that it is asked to.

    Raises:
        InputError: the Hub asks for more patience than this command has.
    """
    seconds = requested_wait(response.headers)
    if response.status_code in TRANSIENT and seconds is not None and seconds > LONGEST_WAIT:
        raise InputError(f"the Hub asks to wait for {seconds:,.0f} s (HTTP {response.status_code}); run again then")


@contextlib.contextmanager
def careful_client() -> Generator[None]:
    """Within this block, `huggingface_hub` gives up silent connections, and waits no longer than `LONGEST_WAIT`.

    Its own lines about tries are left out: they name signed addresses.
    """
    import httpx2
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import logging as hub_logging

    # The library has no public way back to its own client.
    from huggingface_hub.utils._http import default_client_factory

    def client() -> httpx2.Client:
        made = default_client_factory()
        made.timeout = httpx2.Timeout(SILENCE)
        made.event_hooks = {**made.event_hooks, "response": [*made.event_hooks.get("response", []), _refuse_long_waits]}
        return made

    verbosity = hub_logging.get_verbosity()
    hub_logging.set_verbosity_error()
    set_client_factory(client)
    try:
        yield
    finally:
        set_client_factory(default_client_factory)
        hub_logging.set_verbosity(verbosity)
