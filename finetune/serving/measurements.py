"""What `/metrics` and the access log tell; neither holds a text."""

import json
import logging
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

log = logging.getLogger("finetune.serving.access")

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# Characters of a path that a log line quotes.
QUOTED = 100


class Measurements:
    """Counters of a service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "bertlet_requests", "Requests that were answered, by route and HTTP status.", ["route", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.texts = Counter("bertlet_texts", "Texts that were classified and answered.", registry=self.registry)
        self.seconds = Histogram(
            "bertlet_request_seconds", "Seconds from a classification's first byte to its answer.",
            registry=self.registry, buckets=SECONDS_BUCKETS,
        )  # fmt: skip
        self.batch_texts = Histogram(
            "bertlet_batch_texts", "Texts that were classified together.", registry=self.registry, buckets=BATCH_BUCKETS
        )
        self.batch_seconds = Histogram(
            "bertlet_batch_seconds", "Seconds that a batch took.", registry=self.registry, buckets=SECONDS_BUCKETS
        )
        self.queue = Gauge("bertlet_queue_texts", "Texts that wait.", registry=self.registry)
        self.ready = Gauge("bertlet_ready", "Whether classifications are answered.", registry=self.registry)
        ProcessCollector(registry=self.registry)

    def watch(self, queue: Callable[[], float], ready: Callable[[], float]) -> None:
        """Read these when `/metrics` is asked for."""
        self.queue.set_function(queue)
        self.ready.set_function(ready)

    def batch(self, texts: int, seconds: float) -> None:
        """Count a batch."""
        self.batch_texts.observe(texts)
        self.batch_seconds.observe(seconds)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The measurements as text, and its content type, by a request's Accept header."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self.registry), content_type


def access_line(method: str, path: str, status: int, texts: int, seconds: float, client: str) -> str:
    """A line of JSON about a request; its query is left out, as someone may have put a text there.

    >>> access_line("POST", "/", 200, 2, 0.01234, "127.0.0.1")[33:]
    '"client": "127.0.0.1", "method": "POST", "path": "/", "status": 200, "texts": 2, "ms": 12.3}'
    """
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "client": client,
        "method": method,
        "path": path[:QUOTED],
        "status": status,
        "texts": texts,
        "ms": round(1000 * seconds, 1),
    }
    return json.dumps(line)
