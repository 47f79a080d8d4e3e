"""The routes of a service: classification, health, measurements, and what it is."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response

from finetune.serving import measurements, wire_format
from finetune.serving.batching import ClassificationError
from finetune.serving.measurements import access_line
from finetune.serving.service import JSON, Service
from finetune.serving.wire_format import RequestError, error_body

log = logging.getLogger("finetune.serving")

JSON_HEADER = [(b"content-type", JSON.encode())]
ROUTES = {"/": "classify", "/health": "health", "/health/live": "live", "/metrics": "metrics", "/info": "info"}

Messages = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Routes(FastAPI):
    """FastAPI, whose schema has the routes of `_add_classification`, too."""

    def openapi(self) -> dict[str, Any]:
        """The schema of all routes."""
        answer = {"description": "The labels of each text with their scores, best first."}
        body = {"required": True, "content": {JSON: {"schema": wire_format.REQUEST_SCHEMA}}}
        post = {"summary": "Classify texts", "requestBody": body, "responses": {"200": answer}}
        named = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
        paths = {"/": {"post": post}, "/models/{name}": {"post": post, "parameters": [named]}}
        schema = super().openapi()
        return schema | {"paths": schema["paths"] | paths}


def application(service: Service) -> Callable[[Any, Messages, Send], Awaitable[None]]:
    """The ASGI application of a service."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        service.thread.start()
        yield
        service.close()

    # The pages of its documentation would load scripts from elsewhere.
    app = Routes(
        title="Bertlet", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False,
        description="A text classifier in the wire format of Hugging Face's Inference API.",
    )  # fmt: skip
    _add_classification(app, service)

    @app.head("/health", include_in_schema=False)
    @app.get("/health")
    async def health() -> Response:
        if service.is_ready:
            return Response(json.dumps({"status": "ready"}), media_type=JSON)
        status = "stopping" if service.stopping else "starting" if service.error is None else "failed"
        return Response(json.dumps({"status": status, "error": "not ready"}), 503, media_type=JSON)

    @app.head("/health/live", include_in_schema=False)
    @app.get("/health/live")
    async def live() -> Response:
        alive = service.thread.is_alive() or service.stopping
        status = {"status": "alive"} if alive else {"status": "failed", "error": "the classifying thread has ended"}
        return Response(json.dumps(status), 200 if alive else 503, media_type=JSON)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        text, content_type = service.measurements.exposition(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type})

    @app.get("/info")
    async def info() -> Response:
        return Response(json.dumps(service.info()), media_type=JSON)

    _refuse_in_json(app)
    return Observed(app, service)


def _add_classification(app: FastAPI, service: Service) -> None:
    """The routes of most requests; without FastAPI's own reading of them, which would take longer than all else."""

    async def classify(request: Request) -> Response:
        return await service.classify(request)

    async def classify_by_name(request: Request) -> Response:
        model = service.model
        if model is not None and request.path_params["name"] != model.name:
            raise RequestError(404, f"another model is served here: {model.name}")
        return await service.classify(request)

    app.add_route("/", classify, methods=["POST"])
    app.add_route("/models/{name:path}", classify_by_name, methods=["POST"])


def _refuse_in_json(app: FastAPI) -> None:
    async def refuse(request: Request, error: Any) -> Response:
        retry = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
        return Response(error_body(str(error)), error.status, retry, JSON)

    async def unknown_route(request: Request, error: Any) -> Response:
        return Response(error_body(f"no such route; there are {', '.join(ROUTES)}"), 404, media_type=JSON)

    async def wrong_method(request: Request, error: Any) -> Response:
        allowed = (error.headers or {}).get("Allow", "")
        return Response(error_body(f"method not allowed here; use {allowed}"), 405, {"allow": allowed}, JSON)

    async def failed(request: Request, error: Any) -> Response:
        return Response(error_body(str(error)), 500, media_type=JSON)

    app.add_exception_handler(RequestError, refuse)
    app.add_exception_handler(404, unknown_route)
    app.add_exception_handler(405, wrong_method)

    async def broken(request: Request, error: Any) -> Response:
        return Response(error_body("internal error"), 500, media_type=JSON)

    app.add_exception_handler(ClassificationError, failed)
    # It is raised again when this has been answered.
    app.add_exception_handler(Exception, broken)


class Observed:
    """An application whose requests are counted and logged, those that raise an error, too."""

    def __init__(self, app: FastAPI, service: Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Any, receive: Messages, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def counted(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self.service.stopping:
                    message = message | {"headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        state = scope.setdefault("state", {})
        try:
            await self.app(scope, receive, counted)
        except asyncio.CancelledError:
            # The end of the grace period.
            if not self.service.stopping:
                raise
            if not status:
                await counted({"type": "http.response.start", "status": 503, "headers": JSON_HEADER})
                await send({"type": "http.response.body", "body": error_body("the service has ended")})
        except Exception as error:  # noqa: BLE001
            shown = scope["path"][: measurements.QUOTED].encode("ascii", "replace").decode()
            log.error("serve: %s in %s", type(error).__name__, shown)
        self._observe(scope, status, state.get("texts", 0), time.perf_counter() - started)

    def _observe(self, scope: Any, status: int, texts: int, seconds: float) -> None:
        path = scope["path"]
        route = "classify" if path.startswith("/models/") else ROUTES.get(path, "other")
        self.service.measurements.requests.labels(route, str(status)).inc()
        if route == "classify" and status == 200:
            self.service.measurements.seconds.observe(seconds)
        if self.service.config.access_log:
            client = scope["client"][0] if scope.get("client") else ""
            measurements.log.info("%s", access_line(scope["method"], path, status, texts, seconds, client))
