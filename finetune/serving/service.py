"""A service: the thread with the model, and what happens to a classification from its first byte to its answer."""

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from fastapi import Request, Response

from finetune.serving import wire_format
from finetune.serving.batching import Batcher, ClassificationError
from finetune.serving.config import ServeConfig
from finetune.serving.measurements import Measurements
from finetune.serving.served_model import ServedModel
from finetune.serving.wire_format import Query, RequestError

log = logging.getLogger("finetune.serving")

JSON = "application/json"
# Larger bodies and answers are read and written in another thread; smaller ones take less time than the change.
THREAD_BYTES = 1 << 16
THREAD_SCORES = 2000
# While the model is loaded.
RETRY_SECONDS = 5


class Service:
    """A model that is loaded while the service already answers that it is not ready yet."""

    def __init__(
        self, config: ServeConfig, load: Callable[[ServeConfig], ServedModel], stop: Callable[[], None] = lambda: None
    ) -> None:
        """Begin without a model.

        Args:
            config: the limits.
            load: the model of a config, warmed up; called in the thread that classifies.
            stop: called when that thread ends, whatever the reason.
        """
        self.config, self._load, self._stop = config, load, stop
        self.measurements = Measurements()
        self.model: ServedModel | None = None
        self.batcher: Batcher | None = None
        self.stopping = False
        """Whether it is about to end: every answer closes its connection."""
        self.error: BaseException | None = None
        """Why the thread ended before it was told to."""
        self.open_requests = 0
        """Classifications that are being read or wait."""
        self.unanswered = 0
        """Classifications that were given up at the end."""
        # A thread that hangs keeps no process from ending.
        self.thread = threading.Thread(target=self._work, name="classifier", daemon=True)
        self.measurements.watch(lambda: 0 if self.batcher is None else self.batcher.queued, lambda: self.is_ready)

    @property
    def is_ready(self) -> bool:
        """Whether classifications are answered."""
        return self.batcher is not None and not self.stopping and self.thread.is_alive()

    def _work(self) -> None:
        """Load, then classify until there is nothing more to do."""
        started = time.monotonic()
        try:
            self.model = model = self._load(self.config)
            limits = model.batch_limits(self.config.maximum_wait_ms / 1000)
            batcher = Batcher(model.costs, model.logits, limits, self.config.maximum_queue, self.measurements.batch)
            if not self.stopping:
                log.info(
                    "serve: ready after %.1f s: %s, labels %s", time.monotonic() - started, model.name, model.labels
                )
                self.batcher = batcher
                batcher.run()
        except BaseException as error:  # noqa: BLE001
            self.error = error
            if self.batcher is not None:
                self.batcher.fail(ClassificationError("the service has failed"))
        finally:
            self._stop()

    def close(self) -> None:
        """Let the thread end when everything is answered."""
        self.stopping = True
        if self.batcher is not None:
            self.batcher.close()

    async def classify(self, request: Request) -> Response:
        """The answer to a classification.

        Raises:
            RequestError: it cannot be answered.
        """
        if self.open_requests >= self.config.maximum_queue:
            raise RequestError(503, f"{self.open_requests} requests are open already", self._retry_after())
        self.open_requests += 1
        reading = True
        try:
            async with asyncio.timeout(self.config.request_timeout):
                model, batcher = self._ready()
                with batcher.expecting():
                    query = await self._read(request, model)
                    reading = False
                    job = batcher.submit(query.texts)
                with batcher.withdrawing(job):
                    logits_NC = await until_gone(job.future, request)
        except TimeoutError:
            seconds = f"{self.config.request_timeout:g} seconds"
            if reading:
                raise RequestError(408, f"the body did not arrive within {seconds}") from None
            raise RequestError(503, f"no answer within {seconds}; try again later", self._retry_after()) from None
        except asyncio.CancelledError:
            self.unanswered += 1
            raise
        finally:
            self.open_requests -= 1
        request.scope["state"]["texts"] = len(query.texts)
        self.measurements.texts.inc(len(query.texts))
        scores_NC = model.scores(logits_NC, query.function)
        write = functools.partial(wire_format.answer, scores_NC, model.labels, query.top_k)
        return Response(await asyncio.to_thread(write) if scores_NC.size > THREAD_SCORES else write(), media_type=JSON)

    def _ready(self) -> tuple[ServedModel, Batcher]:
        if self.model is None or self.batcher is None or not self.thread.is_alive():
            raise RequestError(503, "the model is not ready yet", RETRY_SECONDS)
        return self.model, self.batcher

    def _retry_after(self) -> int:
        return RETRY_SECONDS if self.batcher is None else self.batcher.retry_after()

    async def _read(self, request: Request, model: ServedModel) -> Query:
        check_content_type(request.headers.get("content-type"))
        body = await read_body(request, self.config.maximum_body_bytes)
        limits = (self.config.maximum_texts, self.config.maximum_characters)
        if len(body) > THREAD_BYTES:
            return await asyncio.to_thread(wire_format.parse, body, *limits, model.prepare)
        return wire_format.parse(body, *limits, model.prepare)

    def info(self) -> dict[str, Any]:
        """What `/info` tells.

        Raises:
            RequestError: it is not known yet.
        """
        model, _ = self._ready()
        names = ("maximum_body_bytes", "maximum_texts", "maximum_characters", "maximum_queue", "request_timeout")
        return model.description() | {"limits": {name: getattr(self.config, name) for name in names}}


def check_content_type(given: str | None) -> None:
    """Check that a body is JSON; without a header it is taken for JSON.

    Raises:
        RequestError: it is something else.

    >>> check_content_type("application/json; charset=utf-8")
    """
    if given is not None and given.split(";")[0].strip().lower() != JSON:
        raise RequestError(415, f"the body must be JSON: send the header `Content-Type: {JSON}`")


async def read_body(request: Request, maximum: int) -> bytes:
    """A request's body, of which no more than `maximum` bytes are ever kept.

    Raises:
        RequestError: it is larger, or the client went away.
    """
    too_large = RequestError(413, f"the body has more than {maximum} bytes; send fewer texts in a request")
    # The server has checked that it is a number.
    if int(request.headers.get("content-length", "0")) > maximum:
        raise too_large
    body = bytearray()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        body += message.get("body", b"")
        if len(body) > maximum:
            raise too_large
        if not message.get("more_body", False):
            return bytes(body)


class ClientGoneError(RequestError):
    """The client has closed its connection: there is nobody to answer."""

    def __init__(self) -> None:
        # As nginx logs it.
        super().__init__(499, "the client has gone")


async def until_gone(result: asyncio.Future[np.ndarray], request: Request) -> np.ndarray:
    """Wait for a result as long as there is somebody to send it to.

    Raises:
        ClientGoneError: the client has closed its connection.
    """
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((result, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
    if not result.done():
        raise ClientGoneError
    return result.result()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
