"""The server gives a page's files with their types, to this machine alone."""

import http.client
import re

import pytest

from configs.errors import InputError
from finetune.page.server import server
from tests.helpers.http.browser import serving


@pytest.fixture
def address(tmp_path):
    (tmp_path / "page" / "models").mkdir(parents=True)
    for name in ("index.html", "app.js", "ort.mjs", "ort.wasm", "models.json", "style.css"):
        (tmp_path / "page" / name).write_text("x", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("x", encoding="utf-8")
    with serving(tmp_path / "page") as url:
        yield url.removeprefix("http://").rstrip("/")


def ask(address, path, **headers):
    connection = http.client.HTTPConnection(address)
    try:
        connection.putrequest("GET", path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html; charset=utf-8"), ("/app.js", "text/javascript"), ("/ort.mjs", "text/javascript"),
     ("/ort.wasm", "application/wasm"), ("/models.json", "application/json"), ("/style.css", "text/css")],
)  # fmt: skip
def test_types_and_headers_are_those_that_browsers_need(address, path, kind):
    answer = ask(address, path)
    assert answer.status == 200
    assert answer.getheader("Content-Type") == kind
    assert answer.getheader("Cross-Origin-Opener-Policy") == "same-origin"
    assert answer.getheader("Cross-Origin-Embedder-Policy") == "require-corp"
    assert answer.getheader("X-Content-Type-Options") == "nosniff"


def test_other_names_folders_and_files_outside_are_refused(address):
    assert ask(address, "/", Host="evil.example").status == 403
    assert ask(address, "/", Host="localhost:1").status == 200
    assert ask(address, "/models/").status == 404
    assert ask(address, "/../secret.txt").status == 404
    assert ask(address, "/%2e%2e/secret.txt").status == 404


def told_of(serving_folder, error, capsys):
    try:
        raise error
    except type(error):
        serving_folder.handle_error(None, ("127.0.0.1", 1))
    return capsys.readouterr().err


def test_a_browser_that_goes_away_is_no_error(tmp_path, capsys):
    with server(tmp_path, 0) as serving_folder:
        for error in (ConnectionResetError(), BrokenPipeError()):
            assert told_of(serving_folder, error, capsys) == ""
        assert "ZeroDivisionError" in told_of(serving_folder, ZeroDivisionError(), capsys)


def test_a_taken_port_is_told(tmp_path):
    with server(tmp_path, 0) as first:
        port = first.server_address[1]
        with pytest.raises(InputError, match=re.escape(f"--port {port}: Address already in use; take another one")):
            server(tmp_path, port)
    with pytest.raises(InputError, match="--port 70000: not a port"):
        server(tmp_path, 70_000)
