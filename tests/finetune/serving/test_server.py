"""The command as a process: it starts or says why not, and at its end answers what it has accepted."""

import json
import re
import signal
import socket
import time

import pytest

from configs.errors import InputError
from finetune import serve
from finetune.run import run
from finetune.serving.config import ServeConfig
from finetune.serving.server import address, listening
from tests.helpers import forked
from tests.helpers.finetuning import finetune_config

CLIENTS = 12


@pytest.fixture(scope="module")
def classifier(chain):
    return str(run(finetune_config(chain, model__name="bag-of-words")).path)


def started(run, *flags):
    """A service in a process of its own, and its port."""
    command = forked.Command(["-m", "finetune.serve", run, "--port", "0", *flags])
    until = time.monotonic() + 100
    while "serve: ready" not in command.printed("stderr"):
        assert command.process.is_alive(), command.printed("stderr")
        assert time.monotonic() < until
        time.sleep(0.02)
    (port,) = re.findall(r"http://127\.0\.0\.1:(\d+) is loading", command.printed("stderr"))
    return command, int(port)


def stop(command, number):
    command.process.terminate() if number == signal.SIGTERM else forked.os.kill(command.process.pid, number)
    until = time.monotonic() + 100
    while "serve: stopping" not in command.printed("stderr"):
        assert time.monotonic() < until
        time.sleep(0.02)


def half_sent(port, body):
    """A connection whose request the service has begun to read; the second half of its body is still to come."""
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    head = f"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall(head.encode())
    assert client.recv(1 << 16).startswith(b"HTTP/1.1 100 Continue")
    client.sendall(body[: len(body) // 2])
    return client


def everything(client):
    """What comes until the connection is closed."""
    parts = []
    while part := client.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_accepted_is_answered_after_a_signal_and_the_status_is_0(classifier, number):
    command, port = started(classifier)
    texts = [f"the film was {'great' if client % 2 else 'awful'}. " * (1 + client) for client in range(CLIENTS)]
    bodies = [json.dumps({"inputs": [text] * (1 + client), "parameters": {"top_k": 1}}).encode()
              for client, text in enumerate(texts)]  # fmt: skip
    clients = [half_sent(port, body) for body in bodies]
    idle = socket.create_connection(("127.0.0.1", port), timeout=60)
    stop(command, number)
    assert f"stopping; {CLIENTS} classifications are being answered" in command.printed("stderr")
    assert everything(idle) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    for client, body in zip(clients, bodies, strict=True):
        client.sendall(body[len(body) // 2 :])
    for count, client in enumerate(clients):
        head, _, content = everything(client).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert b"connection: close" in head.lower()
        label = "positive" if count % 2 else "negative"
        assert [one[0]["label"] for one in json.loads(content)] == [label] * (1 + count)
        client.close()
    idle.close()
    ended = command.wait()
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "Traceback" not in ended.stderr
    lines = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]
    assert sum(line["texts"] for line in lines if line["status"] == 200) == sum(range(1, CLIENTS + 1))


def test_who_never_finishes_is_left_at_the_end_of_the_grace_period_and_the_status_is_1(classifier):
    command, port = started(classifier, "--grace_period", "1", "--access_log", "false")
    client = half_sent(port, b'{"inputs": "a"}')
    stop(command, signal.SIGTERM)
    assert b"503" in everything(client).splitlines()[0]
    client.close()
    ended = command.wait()
    assert ended.returncode == 1
    assert "stopped: 1 classifications were not answered within 1 seconds" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_run_that_cannot_be_served_ends_the_command_with_a_line(tmp_path):
    ended = forked.run(["-m", "finetune.serve", str(tmp_path), "--port", "0"])
    assert ended.returncode == 2
    assert "python -m finetune.serve: error: model:" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_and_a_host_that_is_not_here_are_told():
    with listening("127.0.0.1", 0) as taken:
        taken.listen()
        port = int(address(taken).rpartition(":")[2])
        with pytest.raises(InputError, match=rf"127\.0\.0\.1:{port} cannot be listened on \(.*in use\); give another"):
            serve.run(ServeConfig("RUN", port=port))
    with pytest.raises(InputError, match=r"host: 'nowhere\.invalid' is no address"):
        serve.run(ServeConfig("RUN", host="nowhere.invalid"))


def test_without_its_libraries_the_command_says_how_to_install_them(monkeypatch):
    monkeypatch.setattr(serve, "LIBRARIES", ("fastapi", "surely_missing"))
    with pytest.raises(InputError, match=r"surely_missing is not installed; pip install .*'\.\[serve\]'"):
        serve.run(ServeConfig("RUN"))


@pytest.mark.parametrize(
    ("key", "value"),
    [("port", 65536), ("port", -1), ("maximum_texts", 0), ("maximum_body_bytes", 0), ("maximum_characters", 0),
     ("maximum_queue", 255), ("maximum_wait_ms", -1), ("request_timeout", 0), ("grace_period", 0),
     ("long_texts", "middle")],
)  # fmt: skip
def test_limits_that_make_no_sense_are_refused(key, value):
    with pytest.raises(InputError, match=f"{key}: "):
        ServeConfig("RUN", **{key: value})


def test_an_address_of_the_newer_protocol_is_written_in_brackets():
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        with listening("::1", 0) as listener:
            assert re.fullmatch(r"\[::1\]:\d+", address(listener))
    except InputError:
        pytest.skip("this machine has no address ::1")
