"""A loopback Hub for this process: fixtures, for the `conftest.py` of a folder."""

import ssl
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils import _http

from tests.helpers.http.hub_server import TOKEN, Hub, serving


@pytest.fixture
def waits() -> list[float]:
    """The seconds that were waited for."""
    return []


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, waits: list[float]) -> Generator[Hub]:
    """The server, to which this process publishes; nobody waits."""
    with serving() as (address, hub):
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        # Made of the address when the library was imported.
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}{template}")
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(time, "sleep", waits.append)
        # Reading the certificates takes longer than a publication.
        certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        hooks: dict[str, Any] = {"request": [_http.hf_request_event_hook]}
        monkeypatch.setattr(
            _http, "default_client_factory", lambda: httpx2.Client(verify=certificates, event_hooks=hooks)
        )
        yield hub
        monkeypatch.undo()
        set_client_factory(_http.default_client_factory)
