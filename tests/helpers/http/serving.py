"""A service in a thread of this process, on the loopback; and classifiers that stop at a gate."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import uvicorn
from prometheus_client import parser

from finetune.inference.classifier import Classifier
from finetune.serving.config import ServeConfig
from finetune.serving.served_model import ServedModel
from finetune.serving.server import address, listening, settings
from finetune.serving.service import Service


class Gated(Classifier):
    """The longer a text, the more it is `long`; computes while its gate is open, and keeps what it was given."""

    def __init__(self, labels: Sequence[str] = ("short", "long")) -> None:
        super().__init__(labels)
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[list[Any]] = []

    def logits(self, texts: Sequence[Any]) -> np.ndarray:
        """The number of a text's characters, for the second label."""
        self.batches.append(list(texts))
        assert self.gate.wait(60)
        if any("poison" in text for text in texts):
            raise ValueError(f"cannot read {texts}")
        return np.array([[0.0, len(text if isinstance(text, str) else "".join(text)) / 100] for text in texts])


class Running:
    """A service that runs, and a client of it."""

    def __init__(self, service: Service, port: int) -> None:
        self.service, self.port = service, port
        self.url = f"http://127.0.0.1:{port}"

    def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """The status, headers and body of an answer; a body that is no bytes is sent as JSON, iterables in chunks."""
        is_raw = body is None or isinstance(body, bytes) or hasattr(body, "__next__")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        given = {"Content-Type": "application/json"} if headers is None else headers
        connection.request(method, path, body if is_raw else json.dumps(body).encode(), given)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content

    def scores(self, body: Any, path: str = "/") -> Any:
        """The scores of an answer with status 200."""
        status, _, content = self.send("POST", path, body)
        assert status == 200, content
        return json.loads(content)

    def measured(self) -> dict[str, float]:
        """The samples of `/metrics`, by name and labels."""
        text = self.send("GET", "/metrics")[2].decode()
        return {
            "".join([sample.name, *(f" {value}" for value in sample.labels.values())]): sample.value
            for family in parser.text_string_to_metric_families(text)
            for sample in family.samples
        }

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so."""
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until, "it did not come about"
            time.sleep(0.002)

    def wait_until_busy(self, classifier: Gated) -> None:
        """Wait until the text of the only request, `busy`, is being classified."""
        service = self.service
        self.wait_for(lambda: service.open_requests == 1 and service.batcher is not None and not service.batcher.queued)
        # It leaves the queue a moment before it is counted there.
        self.wait_for(lambda: classifier.batches[-1:] == [["busy"]])

    def waits(self, texts: int) -> None:
        """Wait until so many texts are in the queue."""
        self.wait_for(lambda: self.service.batcher is not None and self.service.batcher.queued == texts)


@contextmanager
def running(
    load: Callable[[ServeConfig], ServedModel], wait_until_ready: bool = True, **options: Any
) -> Generator[Running]:
    """Serve what `load` gives."""
    with listening("127.0.0.1", 0) as listener:
        service = Service(ServeConfig("unused", **options), load)
        server = uvicorn.Server(settings(service))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            found = Running(service, int(address(listener).rpartition(":")[2]))
            found.wait_for(lambda: server.started)
            if wait_until_ready:
                found.wait_for(lambda: service.is_ready)
            yield found
        finally:
            server.should_exit = True
            thread.join()
            service.thread.join()


def serving(classifier: Classifier, **options: Any) -> Any:
    """Serve a classifier."""
    return running(lambda config: ServedModel(classifier, "gated"), **options)
