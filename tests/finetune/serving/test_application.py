"""A running service: the client of the Hub reads it, it answers as the classifier does, and refuses in JSON."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from huggingface_hub import InferenceClient, constants
from huggingface_hub.errors import HfHubHTTPError

import finetune
from configs.errors import InputError
from finetune.run import run
from finetune.serving.served_model import ServedModel, load_model
from tests.helpers.finetuning import finetune_config
from tests.helpers.http.serving import Gated, running, serving

GOOD, BAD = "the film was great. the plot was lovely.", "the film was awful. the plot was dull."
TEXTS = [GOOD, BAD, "the plot.", f"{GOOD} {BAD} {GOOD}", "was", "😀 é", "the cast was fine. " * 40]
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module", params=["bag-of-words", "bert"])
def finished(chain, request):
    """A classifier and its service."""
    folder = run(finetune_config(chain, model__name=request.param)).path
    with running(lambda config: load_model(config.__class__(str(folder)))) as service:
        yield finetune.load(folder), service


@pytest.fixture(scope="module")
def gated():
    classifier = Gated()
    options = {"maximum_body_bytes": 100_000, "maximum_texts": 4, "maximum_characters": 5000, "maximum_queue": 6}
    with serving(classifier, **options) as service:
        yield classifier, service


@pytest.fixture
def online(monkeypatch):
    """The client refuses to talk to anybody, this machine included, while it is offline."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.mark.usefixtures("online")
def test_the_client_of_the_hub_gets_the_classifiers_probabilities(finished):
    classifier, service = finished
    for url in (service.url, f"{service.url}/", f"{service.url}/models/{service.service.model.name}"):
        client = InferenceClient(model=url)
        for text in (GOOD, BAD, "😀"):
            found = {one.label: one.score for one in client.text_classification(text)}
            assert found == pytest.approx(classifier(text).probabilities, abs=1e-6)
    by_base_url = InferenceClient(base_url=service.url).text_classification(GOOD, top_k=1)
    assert [one.label for one in by_base_url] == ["positive"]
    logits = client.text_classification(BAD, function_to_apply="none")
    assert [one.score for one in logits] == pytest.approx(sorted(classifier.logits([BAD])[0], reverse=True), abs=1e-5)
    shares = client.text_classification(BAD, function_to_apply="sigmoid")
    expected = 1 / (1 + np.exp(-classifier.logits([BAD])[0] / classifier.temperature))
    assert [one.score for one in shares] == pytest.approx(sorted(expected, reverse=True), abs=1e-6)
    with pytest.raises(HfHubHTTPError, match=r"top_k.*must be a whole number from 1"):
        client.text_classification(GOOD, top_k=0)


def test_many_clients_at_once_get_what_the_classifier_says_of_each_text_alone(finished):
    classifier, service = finished
    expected = [classifier(text).probabilities for text in TEXTS]

    def ask(number):
        chosen = [(number + step) % len(TEXTS) for step in range(1 + number % 4)]
        found = service.scores({"inputs": [TEXTS[index] for index in chosen]})
        assert len(found) == len(chosen)
        for index, one in zip(chosen, found, strict=True):
            assert {row["label"]: row["score"] for row in one} == pytest.approx(expected[index], abs=1e-6)
            assert [row["score"] for row in one] == sorted((row["score"] for row in one), reverse=True)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(40)))


def test_pairs_are_classified_as_pairs_also_beside_single_texts(finished):
    classifier, service = finished
    mixed = [GOOD, {"text": GOOD, "text_pair": BAD}, {"text": BAD}, {"text": BAD, "text_pair": GOOD}]
    found = service.scores({"inputs": mixed, "parameters": {"function_to_apply": "none"}})
    alone = [GOOD, (GOOD, BAD), BAD, (BAD, GOOD)]
    for one, text in zip(found, alone, strict=True):
        assert {row["label"]: row["score"] for row in one} == pytest.approx(
            dict(zip(classifier.labels, classifier.logits([text])[0], strict=True)), abs=1e-5
        )


def test_texts_are_cleaned_as_finetune_predict_does(finished):
    classifier, service = finished
    body = json.dumps({"inputs": ["bad<br />film &amp; plot", "\ud83d!", "a\0" + GOOD * 5, "\U0001f600"]})
    found = service.scores(body.encode())
    for one, text in zip(found, ["bad\nfilm & plot", "?!", "a" + GOOD * 5, "😀"], strict=True):
        assert {row["label"]: row["score"] for row in one} == pytest.approx(classifier(text).probabilities, abs=1e-6)
    status, _, content = service.send("POST", "/", {"inputs": ["a", "\0" * 50 + "binary"]})
    assert (status, b"`inputs[1]`: more than 1 % of the text is NUL" in content) == (422, True)


def test_info_tells_what_is_served(finished):
    classifier, service = finished
    told = json.loads(service.send("GET", "/info")[2])
    assert told["labels"] == classifier.labels
    assert told["model"].startswith("small-")
    assert told["temperature"] == classifier.temperature
    assert told["limits"]["maximum_texts"] == 256
    if told["kind"] != "bag-of-words":
        assert told["parameters"] == sum(weight.numel() for weight in classifier.model.parameters())
        assert told["maximum_tokens"] == 32


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "message"),
    [
        ("POST", "/", b"{", JSON, 400, "no JSON"),
        ("POST", "/", b'{"inputs": []}', JSON, 422, "empty list"),
        ("POST", "/", b'{"inputs": 1}', JSON, 422, "not a text"),
        ("POST", "/", b'{"inputs": ["a", "b", "c", "d", "e"]}', JSON, 422, "at most 4"),
        ("POST", "/", json.dumps({"inputs": "a" * 5001}).encode(), JSON, 422, "at most 5000"),
        ("POST", "/", b"inputs=a", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "must be JSON"),
        ("POST", "/", b"a", {"Content-Type": "text/plain; charset=utf-8"}, 415, "must be JSON"),
        ("POST", "/", b"", {}, 400, "no JSON"),
        ("POST", "/", b"x" * 100_001, JSON, 413, "more than 100000 bytes"),
        ("GET", "/", None, {}, 405, "use POST"),
        ("DELETE", "/health", None, {}, 405, "use"),
        ("PUT", "/models/gated", b"{}", JSON, 405, "use POST"),
        ("POST", "/models/another", b'{"inputs": "a"}', JSON, 404, "another model is served here: gated"),
        ("GET", "/nothing", None, {}, 404, "no such route"),
        ("GET", "/health/", None, {}, 404, "no such route"),
        ("GET", "/docs", None, {}, 404, "no such route"),
        ("GET", "/%00%ff%0a", None, {}, 404, "no such route"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_in_json(gated, method, path, body, headers, status, message):
    _, service = gated
    found, told, content = service.send(method, path, body, headers)
    assert (found, told["content-type"]) == (status, "application/json")
    assert message in json.loads(content)["error"]
    assert ("allow" in told) == (status == 405)
    assert service.scores({"inputs": "a"})


def test_json_without_a_content_type_is_read(gated):
    status, _, content = gated[1].send("POST", "/", b'{"inputs": "a"}', {})
    assert (status, len(json.loads(content)[0])) == (200, 2)


def test_a_body_in_chunks_is_refused_while_it_is_read(gated):
    _, service = gated
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.sendall(b"".join(b"2710\r\n" + b"x" * 10_000 + b"\r\n" for _ in range(11)))
        answer = client.recv(1 << 16)
    assert b"413" in answer.splitlines()[0]
    # A client that reads only when it has sent everything gets it, too.
    status, _, content = service.send("POST", "/", iter([b"x" * 60_000] * 20), JSON)
    assert (status, "error" in json.loads(content)) == (413, True)
    small = iter([b'{"inputs"', b': "a"}'])
    assert service.send("POST", "/", small, JSON)[0] == 200


def test_a_body_that_is_announced_as_too_large_is_refused_before_it_is_sent(gated):
    with socket.create_connection(("127.0.0.1", gated[1].port)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\nExpect: 100-continue\r\n\r\n")
        assert b"413" in client.recv(1 << 16).splitlines()[0]


def test_requests_that_come_together_are_classified_together(gated):
    classifier, service = gated
    before = service.measured()
    classifier.gate.clear()
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(service.scores, {"inputs": "busy"})
        service.wait_until_busy(classifier)
        others = [pool.submit(service.scores, {"inputs": "x" * length}) for length in (10, 20, 30, 40)]
        service.waits(4)
        assert service.measured()["bertlet_queue_texts"] == 4
        classifier.gate.set()
        found = [one.result() for one in others]
        assert len(first.result()) == 1
    assert [{row["label"]: row["score"] for row in one[0]}["long"] for one in found] == pytest.approx(
        [1 / (1 + np.exp(-length / 100)) for length in (10, 20, 30, 40)]
    )
    after = service.measured()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert sorted(classifier.batches[-1]) == ["x" * length for length in (10, 20, 30, 40)]
    assert (grown["bertlet_batch_texts_count"], grown["bertlet_batch_texts_sum"]) == (2, 5)
    assert (grown["bertlet_texts_total"], grown["bertlet_request_seconds_count"]) == (5, 5)
    assert grown["bertlet_requests_total classify 200"] == 5


def test_a_full_queue_is_told_with_503_and_when_to_come_again(gated):
    classifier, service = gated
    classifier.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(service.scores, {"inputs": "busy"})]
        service.wait_until_busy(classifier)
        waiting.append(pool.submit(service.scores, {"inputs": ["a", "b", "c", "d"]}))
        service.waits(4)
        status, headers, content = service.send("POST", "/", {"inputs": ["e", "f", "g"]})
        assert (status, "texts are waiting" in json.loads(content)["error"]) == (503, True)
        assert int(headers["retry-after"]) >= 1
        waiting.append(pool.submit(service.scores, {"inputs": ["e", "f"]}))
        service.waits(6)
        classifier.gate.set()
        assert [len(one.result()) for one in waiting] == [1, 4, 2]
    assert service.measured()["bertlet_requests_total classify 503"] >= 1


def test_a_client_that_goes_away_leaves_nothing_in_the_queue(gated):
    classifier, service = gated
    classifier.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(service.scores, {"inputs": "busy"})
        service.wait_until_busy(classifier)
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            body = b'{"inputs": ["left", "alone"]}'
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            service.waits(2)
        service.waits(0)
        classifier.gate.set()
        assert len(busy.result()) == 1
    assert not any("left" in batch for batch in classifier.batches)


def test_a_text_that_the_model_cannot_read_is_its_own_clients_error(gated, caplog):
    _, service = gated
    status, _, content = service.send("POST", "/", {"inputs": ["a", "poison"]})
    assert (status, json.loads(content)) == (500, {"error": "the model has no scores for this text"})
    assert service.scores({"inputs": "a"})
    assert "poison" not in caplog.text


def test_an_error_of_our_own_is_answered_in_json_without_a_word_of_it(gated, caplog, monkeypatch):
    _, service = gated

    def broken(*arguments):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(service.service.model, "scores", broken)
    before = service.measured().get("bertlet_requests_total classify 500", 0)
    status, headers, content = service.send("POST", "/", {"inputs": "a"})
    assert (status, json.loads(content)) == (500, {"error": "internal error"})
    assert headers["content-type"] == "application/json"
    assert "ZeroDivisionError in /" in caplog.text
    assert "a secret" not in caplog.text
    assert service.measured()["bertlet_requests_total classify 500"] == before + 1


def test_the_access_log_is_a_line_of_json_without_texts(gated, caplog):
    _, service = gated
    with caplog.at_level("INFO", logger="finetune.serving.access"):
        service.scores({"inputs": ["a secret", "another"]})
        service.send("POST", "/nothing%0A?text=secret", b"secret")
        service.wait_for(lambda: len(caplog.messages) == 2)
    first, second = map(json.loads, caplog.messages)
    assert (first["method"], first["path"], first["status"], first["texts"]) == ("POST", "/", 200, 2)
    assert (second["path"], second["status"], second["client"]) == ("/nothing\n", 404, "127.0.0.1")
    assert "secret" not in caplog.text
    assert not any("\n" in message for message in caplog.messages)


def test_a_service_is_alive_at_once_and_ready_when_its_model_has_classified():
    opened, classifier = threading.Event(), Gated()

    def load(config):
        assert opened.wait(60)
        model = ServedModel(classifier, "late")
        model.warm_up()
        return model

    with running(load, wait_until_ready=False) as service:
        assert service.send("GET", "/health/live")[0] == 200
        status, _, content = service.send("GET", "/health")
        assert (status, json.loads(content)["status"]) == (503, "starting")
        assert service.send("GET", "/info")[0] == 503
        status, headers, _ = service.send("POST", "/", {"inputs": "a"})
        assert (status, headers["retry-after"]) == (503, "5")
        assert service.measured()["bertlet_ready"] == 0
        opened.set()
        service.wait_for(lambda: service.send("HEAD", "/health")[0] == 200)
        assert classifier.batches
        assert service.measured()["bertlet_ready"] == 1
        assert service.scores({"inputs": "a"})


def test_a_service_whose_thread_has_ended_is_not_alive():
    def load(config):
        raise InputError("no such run")

    with running(load, wait_until_ready=False) as service:
        service.wait_for(lambda: service.send("GET", "/health/live")[0] == 503)
        assert json.loads(service.send("GET", "/health")[2])["status"] == "failed"
        assert service.send("POST", "/", {"inputs": "a"})[0] == 503
        assert isinstance(service.service.error, InputError)


def test_when_the_thread_dies_what_it_was_at_and_what_waits_is_answered():
    class Mortal(Gated):
        def logits(self, texts):
            super().logits(texts)
            raise SystemExit

    classifier = Mortal()
    with serving(classifier) as service, ThreadPoolExecutor(2) as pool:
        classifier.gate.clear()
        busy = pool.submit(service.send, "POST", "/", {"inputs": "busy"})
        service.wait_until_busy(classifier)
        waiting = pool.submit(service.send, "POST", "/", {"inputs": "waiting"})
        service.waits(1)
        classifier.gate.set()
        for one in (busy, waiting):
            status, _, content = one.result()
            assert (status, json.loads(content)) == (500, {"error": "the service has failed"})
        service.wait_for(lambda: service.send("GET", "/health/live")[0] == 503)
        assert service.send("POST", "/", {"inputs": "later"})[0] == 503


def test_requests_that_take_too_long_are_given_up():
    classifier = Gated()
    with serving(classifier, request_timeout=0.3) as service:
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            assert b"408" in client.recv(1 << 16).splitlines()[0]
        classifier.gate.clear()
        status, headers, content = service.send("POST", "/", {"inputs": "a"})
        assert (status, "no answer within 0.3 seconds" in json.loads(content)["error"]) == (503, True)
        assert "retry-after" in headers
        status, _, _ = service.send("POST", "/", {"inputs": "given up"})
        assert status == 503
        service.waits(0)
        classifier.gate.set()
        service.wait_for(lambda: service.send("POST", "/", {"inputs": "b"})[0] == 200)
    assert ["given up"] not in classifier.batches


def test_the_schema_of_the_interface_is_there_for_tools(gated):
    _, service = gated
    paths = json.loads(service.send("GET", "/openapi.json")[2])["paths"]
    schema = paths["/"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert service.scores(schema["example"])
    assert {"/", "/models/{name}", "/health", "/health/live", "/metrics", "/info"} == set(paths)


def test_measurements_are_given_in_the_format_that_is_asked_for(gated):
    _, service = gated
    _, plain, _ = service.send("GET", "/metrics")
    _, other, content = service.send("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
    assert plain["content-type"].startswith("text/plain")
    assert other["content-type"].startswith("application/openmetrics-text")
    assert content.endswith(b"# EOF\n")
