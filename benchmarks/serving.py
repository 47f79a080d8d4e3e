"""`python -m benchmarks.serving --run RUN --file FILE`: a service under load, against `finetune.predict`.

Both sides label the same texts with the same finished run, in turn: concurrent clients on the loopback, in a process of
their own, that send a request as soon as the one before is answered; and the loop of `finetune.predict`, without its
start. Then the clients send half as many requests a second, at random times. Prints texts per second, texts per second
of processor time (from which clients, and others on this machine, take less), and latencies.
"""

import asyncio
import dataclasses
import itertools
import json
import multiprocessing
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np
import psutil

from benchmarks.measurement.measuring import print_measurement, untuned_environment
from configs.bounds import require_at_least
from configs.command_line import parse
from configs.errors import RunError, run_command

PROGRAM = "python -m benchmarks.serving"
START_SECONDS = 300
# An arrival of Python's own random numbers, the same in every run.
SEED = 0


@dataclasses.dataclass(frozen=True)
class ServingBenchmarkConfig:
    """Measure how fast a service answers."""

    run: str
    """A fine-tuning run."""
    file: str
    """Texts: a file of which some are taken, such as IMDB's `test.parquet`."""
    texts: int = 512
    """Texts of a round, spread over the first ten thousand."""
    texts_a_request: int = 1
    """Texts of a request."""
    clients: int = 64
    """Requests at the same time."""
    rounds: int = 4
    """Measurements of each side; the first is not counted."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        require_at_least(2, rounds=self.rounds, texts=self.texts)
        require_at_least(1, texts_a_request=self.texts_a_request, clients=self.clients)


def run(config: ServingBenchmarkConfig) -> None:
    """Run the benchmark and print the measurements.

    Raises:
        RunError: the service does not start, or a request was not answered.
    """
    from finetune.inference.classifier import load
    from finetune.inference.rows import Row

    texts = read_texts(config.file, config.texts)
    requests = [texts[first : first + config.texts_a_request] for first in range(0, len(texts), config.texts_a_request)]
    bodies = [json.dumps({"inputs": one}).encode() for one in requests]
    classifier = load(config.run)
    rows = [Row({"text": text}, text, None, None) for text in texts]
    context = multiprocessing.get_context("spawn")
    rates: dict[str, list[tuple[float, float]]] = {"ours": [], "peer": []}
    latencies: list[float] = []
    with service(config.run) as (port, process), ProcessPoolExecutor(1, mp_context=context) as clients:
        for number in range(config.rounds):
            before = processor_seconds(process)
            seconds, answered = clients.submit(load_closed, port, bodies, config.clients).result()
            rates["ours"].append((len(texts) / seconds, len(texts) / (processor_seconds(process) - before)))
            before = time.process_time()
            seconds = predict_seconds(classifier, rows)
            rates["peer"].append((len(texts) / seconds, len(texts) / (time.process_time() - before)))
            latencies += answered if number else []
            latest = " and ".join(f"{rates[side][-1][0]:.1f}" for side in rates)
            print(f"round {number + 1} of {config.rounds}: {latest} texts/s", file=sys.stderr)
        ours, peer = (np.median(rates[side][1:], axis=0) for side in ("ours", "peer"))
        half = ours[0] / config.texts_a_request / 2
        _, waited = clients.submit(load_open, port, bodies, half).result()
    name = f"serving.{config.clients}x{config.texts_a_request}"
    print_measurement(name, ours[0], peer[0], "texts/s")
    print_measurement(f"{name}.processor", ours[1], peer[1], "texts a second of one processor")
    for load_name, found in (("saturated", latencies), ("half_load", waited)):
        for share in (50, 99):
            milliseconds = 1000 * statistics.quantiles(found, n=100, method="inclusive")[share - 1]
            print_measurement(f"{name}.{load_name}.p{share}", milliseconds, None, "ms")


def read_texts(file: str, count: int) -> list[str]:
    """Texts of a file, spread over its first ten thousand."""
    from finetune.inference import rows
    from tokenizer.corpus.config import CorpusConfig

    with rows.opened([file], "auto", CorpusConfig()) as (corpus,):
        read = rows.read(rows.with_text_column(corpus, None, "text"))
        found = [row.text for row in itertools.islice(read, 10_000) if row.problem is None]
    return found[:: max(1, len(found) // count)][:count]


def predict_seconds(classifier: Any, rows: Sequence[Any]) -> float:
    """How long the loop of `finetune.predict` takes, from rows to a file."""
    from finetune.inference.output import Output
    from finetune.predict import label_rows

    with tempfile.TemporaryDirectory() as folder, Output(str(Path(folder) / "out.csv"), {}) as output:
        started = time.perf_counter()
        label_rows(classifier, iter(rows), output, ["prediction", "probability"])
        return time.perf_counter() - started


def processor_seconds(process: psutil.Process) -> float:
    """What a process has computed so far."""
    times = process.cpu_times()
    return times.user + times.system


@contextmanager
def service(run: str) -> Generator[tuple[int, psutil.Process]]:
    """Start `finetune.serve` as a user would, and end it; gives its port as soon as it is ready, and its process.

    Raises:
        RunError: it does not start.
    """
    command = [sys.executable, "-m", "finetune.serve", run, "--port", "0", "--access_log", "false"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stderr=log, env=untuned_environment())
        try:
            yield _ready_port(process, log), psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()


def _ready_port(process: subprocess.Popen[bytes], log: Any) -> int:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.2)
        log.seek(0)
        if match := re.search(r"http://127\.0\.0\.1:(\d+)", log.read()):
            port = int(match[1])
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    return port
            except (HTTPError, OSError):
                continue
    log.seek(0)
    raise RunError(f"the service did not start: {' '.join(log.read().split())}")


def load_closed(port: int, bodies: Sequence[bytes], clients: int) -> tuple[float, list[float]]:
    """Send each body once; every client waits for an answer before its next request.

    Returns:
        The seconds of all together, and those of each request.
    """
    return asyncio.run(_closed(port, bodies, clients))


async def _closed(port: int, bodies: Sequence[bytes], clients: int) -> tuple[float, list[float]]:
    left, latencies = iter(bodies), list[float]()

    async def client() -> None:
        connection = await Connection.open(port)
        for body in left:
            started = time.perf_counter()
            await connection.post(body)
            latencies.append(time.perf_counter() - started)
        connection.writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(min(clients, len(bodies)))))
    return time.perf_counter() - started, latencies


def load_open(port: int, bodies: Sequence[bytes], rate: float) -> tuple[float, list[float]]:
    """Send each body once, `rate` a second at random times (Poisson), whether or not others are answered.

    Returns:
        The seconds of all together, and those of each request from the time when it was due.
    """
    return asyncio.run(_open(port, bodies, rate))


async def _open(port: int, bodies: Sequence[bytes], rate: float) -> tuple[float, list[float]]:
    idle: list[Connection] = []
    rng = random.Random(SEED)
    due = list(itertools.accumulate(rng.expovariate(rate) for _ in bodies))
    began = time.perf_counter()

    async def request(body: bytes, at: float) -> float:
        await asyncio.sleep(max(0.0, began + at - time.perf_counter()))
        connection = idle.pop() if idle else await Connection.open(port)
        await connection.post(body)
        idle.append(connection)
        return time.perf_counter() - began - at

    latencies = await asyncio.gather(*(request(body, at) for body, at in zip(bodies, due, strict=True)))
    for connection in idle:
        connection.writer.close()
    return time.perf_counter() - began, list(latencies)


class Connection:
    """A connection that is kept, with as little work as possible: clients and service share this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def post(self, body: bytes) -> bytes:
        """Send a request and read its answer.

        Raises:
            RunError: the status is not 200.
        """
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self.writer.write(f"{head}\r\n\r\n".encode() + body)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", answer)
        content = await self.reader.readexactly(int(length[1]) if length else 0)
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise RunError(f"a request was answered with {answer.splitlines()[0]!r}: {content[:200]!r}")
        return content


def main() -> None:
    """Parse the command line, then run the benchmark."""
    run(parse(ServingBenchmarkConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
