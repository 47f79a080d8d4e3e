"""A folder → a server on this machine alone, as a static host would serve it."""

import errno
import functools
import http.server
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

from configs.errors import InputError

ADDRESS = "127.0.0.1"
TYPES = {
    ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json",
    ".html": "text/html; charset=utf-8", ".css": "text/css", ".md": "text/markdown; charset=utf-8",
}  # fmt: skip
# With the first two, a browser lets a page's threads share memory. A static Space sets them by its README.md.
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files, without lists of folders, for this machine's own names alone."""

    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | TYPES

    def send_head(self) -> Any:
        """Refuse other host names: a page elsewhere could have its own name resolve to this machine."""
        name = self.headers.get("Host", "").rsplit(":", 1)[0]
        if name not in (ADDRESS, "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN)
            return None
        return super().send_head()

    def list_directory(self, path: Any) -> None:
        """A folder without index.html is not listed."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        """Add the headers of every answer; files are asked for again, as a page may have been made anew."""
        for name, value in {**ISOLATION, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Requests are not told."""


class Server(http.server.ThreadingHTTPServer):
    """A thread for each request."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away, as when a page is loaded again, is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def server(folder: Path, port: int) -> http.server.ThreadingHTTPServer:
    """A server of a folder, not yet serving.

    Args:
        folder: to be served.
        port: 0 takes a free one.

    Raises:
        InputError: the port is taken, or not one that may be used.
    """
    handler = functools.partial(Handler, directory=str(folder))
    try:
        return Server((ADDRESS, port), handler)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
            raise
        reason = error.strerror if isinstance(error, OSError) else "not a port"
        raise InputError(f"--port {port}: {reason}; take another one") from None
