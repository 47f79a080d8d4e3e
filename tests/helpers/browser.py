"""A headless Chromium for tests of pages, where there is one."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def chromium() -> Generator[Any]:
    """A browser; without Playwright or Chromium the test is skipped, and says so."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no chromium on the PATH")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
