"""The socket of a service, and its end: every request that was accepted is answered."""

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Generator
from types import FrameType

import uvicorn

from configs.errors import InputError, RunError
from finetune.serving.application import application
from finetune.serving.config import ServeConfig
from finetune.serving.served_model import ServedModel, load_model
from finetune.serving.service import Service

log = logging.getLogger("finetune.serving")

# Longer than load balancers keep an idle connection, so that it is they who close it.
KEEP_ALIVE = 75
BACKLOG = 2048
# Between the end of listening and that of idle connections: what a client has sent is read in this time.
SETTLE_SECONDS = 0.2


class Server(uvicorn.Server):
    """uvicorn, which ends with status 0 after a signal, and reads what has been sent before it closes connections."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop at SIGTERM and SIGINT; a second SIGINT does not wait for requests."""
        previous = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        self.service.stopping = True
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer what was accepted, then close."""
        self.service.stopping = True
        log.info("serve: stopping; %d classifications are being answered", self.service.open_requests)
        for server in self.servers:
            server.close()
        await asyncio.sleep(SETTLE_SECONDS)
        await super().shutdown(sockets)


def serve(config: ServeConfig, load: Callable[[ServeConfig], ServedModel] = load_model) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InputError: the address cannot be listened on, or the model cannot be loaded.
        RunError: requests were left unanswered at the end of the grace period, or the classifying thread has failed.
    """
    with listening(config.host, config.port) as listener:
        server: Server | None = None

        def stop() -> None:
            if server is not None:
                server.should_exit = True

        service = Service(config, load, stop)
        server = Server(settings(service), service)
        log.info("serve: http://%s is loading %s", address(listener), config.run)
        started = time.monotonic()
        server.run(sockets=[listener])
        # A model that is still being loaded cannot be interrupted; one that hangs has had its time.
        service.thread.join(0 if service.unanswered else config.grace_period)
        log.info("serve: ended after %.0f s", time.monotonic() - started)
    if isinstance(service.error, InputError):
        raise service.error
    if service.error is not None:
        raise RunError(f"the classifying thread has failed: {type(service.error).__name__}: {service.error}")
    if service.unanswered:
        raise RunError(f"{service.unanswered} classifications were not answered within {config.grace_period} seconds")


def settings(service: Service) -> uvicorn.Config:
    """How uvicorn runs a service; it logs nothing but what goes wrong."""
    return uvicorn.Config(
        application(service), log_config=None, access_log=False, server_header=False, ws="none", lifespan="on",
        backlog=BACKLOG, timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=service.config.grace_period,
    )  # fmt: skip


@contextlib.contextmanager
def listening(host: str, port: int) -> Generator[socket.socket]:
    """A socket that is bound, but does not listen yet.

    Raises:
        InputError: there is no such address, or the port is taken.
    """
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(f"host: {host!r} is no address of this machine ({error.strerror})") from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(target)
        except OSError as error:
            reason = f"{host}:{port} cannot be listened on ({error.strerror})"
            raise InputError(f"port: {reason}; give another --port, or 0 for a free one") from None
        yield listener


def address(listener: socket.socket) -> str:
    """The address of a socket as in a URL."""
    host, port, *_ = listener.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
