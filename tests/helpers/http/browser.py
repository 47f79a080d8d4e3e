"""Headless Chromium that reaches one server on this machine and nothing else."""

import contextlib
import dataclasses
import functools
import shutil
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from configs.errors import InputError
from finetune.page.packages import installed
from finetune.page.server import server
from tests.helpers.paths import ROOT

# A function in the page: texts → the answers and words of all models.
READ = """async (texts) => {
  const { Client } = await import("./client.js");
  const told = [];
  const client = new Client((message) => told.push(message));
  while (!told.some(({ kind }) => kind === "prepared")) await new Promise((resolve) => setTimeout(resolve, 20));
  const found = [];
  for (const { text, words } of texts) {
    told.length = 0;
    await client.read(text, words);
    found.push({
      answers: told.filter(({ kind }) => kind === "answer"),
      words: told.filter(({ kind, done }) => kind === "words" && done),
    });
  }
  client.worker.terminate();
  return found;
}"""


@dataclasses.dataclass
class Watch:
    """What a page should not do."""

    foreign: list[str] = dataclasses.field(default_factory=list)
    """Requests for other hosts."""
    errors: list[str] = dataclasses.field(default_factory=list)
    """Errors and warnings on the console, and exceptions that nobody caught."""


@contextlib.contextmanager
def serving(folder: Path) -> Generator[str]:
    """Serve a folder on a free port of this machine; gives the address."""
    with server(folder, 0) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_address[1]}/"
        finally:
            running.shutdown()
            thread.join()


@contextlib.contextmanager
def chromium() -> Generator[Any]:
    """A browser; the test is skipped where there is none."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium on the PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(browser: Any, address: str, **options: Any) -> Generator[tuple[Any, Watch]]:
    """A page of its own, whose requests to other hosts are refused and noted."""
    context, watch = browser.new_context(**options), Watch()

    def decide(route: Any) -> None:
        if route.request.url.startswith((address, "blob:", "data:")):
            route.continue_()
        else:
            watch.foreign.append(route.request.url)
            route.abort()

    context.route("**/*", decide)
    page = context.new_page()
    page.on("console", lambda told: watch.errors.append(told.text) if told.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: watch.errors.append(str(error)))
    try:
        page.goto(address)
        yield page, watch
    finally:
        context.close()


def page_packages() -> Path:
    """The folder below which a checkout keeps what npm fetches; the test is skipped where that cannot be fetched."""
    if (problem := _fetch_problem()) is not None:
        pytest.skip(problem)
    return ROOT / "runs"


@functools.cache
def _fetch_problem() -> str | None:
    """Why npm's packages are not at hand; without a network, npm shall not try again for minutes."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("npm_config_fetch_retries", "0")
        try:
            installed(ROOT / "runs")
        except InputError as error:
            return str(error)
    return None
