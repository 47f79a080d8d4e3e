"""In a browser, the page gives Python's scores and words, asks no other host, and is usable by everybody."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import finetune
from finetune.page.site import Page, build
from finetune.run import run
from tests.helpers.finetuning import finetune_config
from tests.helpers.http.browser import READ, opened, page_packages, serving
from tests.helpers.texts import LONG, ODD, texts_like_those_of_training

EXAMPLES = ["the film was great. the plot was lovely.", "<b>the song</b> was awful & dull."]
LOADED = "#loading[hidden]"
TYPE = "#text"


@pytest.fixture(scope="module")
def made(chain: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A page of three models, and their runs; the LSTM keeps both ends of a text."""
    cache = page_packages()
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    runs = [
        run(finetune_config(chain, training__duration="30 steps", truncation_head_share=1.0)).path,
        run(finetune_config(chain, model__name="lstm", truncation_head_share=0.25, sequence_length=20)).path,
        run(finetune_config(chain, model__name="bag-of-words")).path,
    ]
    page = Page.of([str(path) for path in runs], "Try <these>", EXAMPLES, quantized=False)
    return build(page, tmp_path_factory.mktemp("site") / "page", cache), runs


@pytest.fixture(scope="module")
def address(made):
    with serving(made[0]) as url:
        yield url


@pytest.fixture(scope="module")
def shared(browser, address):
    """A page that several tests use, loaded; it must have asked no other host and told no error, in the end."""
    with opened(browser, address, viewport={"width": 1280, "height": 900}) as (page, watch):
        page.wait_for_selector(LOADED, state="attached")
        yield page
        assert watch.foreign == []
        assert watch.errors == []


def test_scores_are_those_of_python(shared, made):
    texts = [*texts_like_those_of_training(86), *ODD, *EXAMPLES, LONG]
    found = shared.evaluate(READ, [{"text": text, "words": False} for text in texts])
    assert len(found) == 101
    for number, path in enumerate(made[1]):
        expected_NC = finetune.load(path).probabilities(texts)
        found_NC = np.array([row["answers"][number]["probabilities"] for row in found])
        assert np.abs(found_NC - expected_NC).max() < 1e-3
        # A model that gives all texts the same score would prove nothing.
        assert expected_NC.std(axis=0).max() > 0.01
    bert, lstm, counting = found[-1]["answers"]
    assert (bert["kept"], lstm["kept"]) == (30, 18)
    assert bert["tokens"] == lstm["tokens"] > 480
    assert counting["kept"] == counting["tokens"]


def test_half_a_character_is_one_that_cannot_be_read(shared, made):
    # Playwright writes no half characters.
    half = READ.replace("const found", 'texts[0].text = "the film \\ud83d was good"; const found')
    (found,) = shared.evaluate(half, [{"words": True}])
    for answer, path in zip(found["answers"], made[1], strict=True):
        expected = finetune.load(path).probabilities(["the film \ufffd was good"])[0]
        assert np.abs(np.array(answer["probabilities"]) - expected).max() < 1e-3
    assert len(found["words"]) == 3


@pytest.mark.parametrize(
    "text", ["The film was good, but the plot was so dull.", "a lovely song; awful cast, it ends well!", "dull"]
)
def test_words_matter_as_python_finds_by_leaving_each_out(shared, made, text):
    (found,) = shared.evaluate(READ, [{"text": text, "words": True}])
    words = [match.span() for match in re.finditer(r"\w+", text)]
    for number, path in enumerate(made[1]):
        answer = found["words"][number]
        assert [tuple(piece) for piece in answer["pieces"]] == words
        classifier = finetune.load(path)
        label = int(classifier.probabilities([text]).argmax())
        assert answer["label"] == label
        left_out = [(text[:start] + re.sub(r"^\s", "", text[end:]) if text[:start] in ("",) or text[start - 1].isspace()
                     else text[:start] + text[end:]) for start, end in words]  # fmt: skip
        log_odds = [log_odds_of(row, classifier.temperature, label) for row in classifier.logits([text, *left_out])]
        expected = log_odds[0] - np.array(log_odds[1:])
        assert np.abs(np.array(answer["changes"]) - expected).max() < 1e-3
        clear = np.abs(np.subtract.outer(expected, expected)) > 2e-3
        order, expected_order = np.array(answer["changes"]), expected
        assert ((np.subtract.outer(order, order) > 0) == (np.subtract.outer(expected_order, expected_order) > 0))[
            clear
        ].all()


def log_odds_of(logits_C: np.ndarray, temperature: float, label: int) -> float:
    scaled_C = np.asarray(logits_C, dtype=np.float64) / temperature
    others = np.delete(scaled_C, label)
    return float(scaled_C[label] - np.logaddexp.reduce(others))


def test_of_long_texts_neighbours_are_left_out_together_and_only_what_is_read_matters(shared):
    (found,) = shared.evaluate(READ, [{"text": LONG, "words": True}])
    bert, lstm, counting = found["words"]
    assert len(bert["pieces"]) == len(lstm["pieces"]) == len(counting["pieces"]) <= 64
    assert "".join(LONG[start:end] for start, end in bert["pieces"]).count("film") == 160
    # 30 tokens from the beginning; 4 there and 14 at the end.
    is_read = [index for index, change in enumerate(bert["changes"]) if change != 0]
    assert is_read
    assert max(is_read) <= 3
    assert all(change == 0 for change in lstm["changes"][4:-4])


def test_only_the_newest_text_is_read_to_its_end(shared):
    wholes = shared.evaluate(
        """async (long) => {
          const { Client } = await import("./client.js");
          let prepared = false;
          const client = new Client(({ kind }) => { prepared ||= kind === "prepared"; });
          while (!prepared) await new Promise((resolve) => setTimeout(resolve, 20));
          const wholes = await Promise.all([client.read(long), client.read(long), client.read("good")]);
          client.worker.terminate();
          return wholes;
        }""",
        LONG,
    )
    assert wholes == [False, False, True]


def test_one_types_and_sees_all_answers_with_their_words(shared):
    shared.fill(TYPE, "the film was great.")
    shared.wait_for_selector("#spoken:has-text('bag-of-words')", state="attached")
    cards = shared.query_selector_all("article")
    assert [card.query_selector("h3 bdi").inner_text() for card in cards] == ["bert", "lstm", "bag-of-words"]
    for card in cards:
        assert re.fullmatch(r"(positive|negative) \d+\.\d %", card.query_selector(".answer").inner_text())
        assert [bar.inner_text() for bar in card.query_selector_all(".bars .label")] == ["negative", "positive"]
        assert card.query_selector(".read").inner_text() == "the film was great."
    assert re.search(r"bert: \w+, [\d.]+ %; lstm: \w+, [\d.]+ %; bag-of-words: \w+, ", shared.text_content("#spoken"))
    assert shared.query_selector("article:last-child .listed").inner_text().split()[:3] == ["For", "positive", "great"]
    assert "title" in shared.query_selector("article:last-child .read .for").evaluate(
        "word => [...word.getAttributeNames()]"
    )


def test_an_example_is_chosen_by_keyboard_and_is_never_read_as_html(shared):
    shared.fill(TYPE, "")
    shared.focus(TYPE)
    shared.keyboard.press("Tab")
    shared.keyboard.press("Tab")
    assert shared.evaluate("document.activeElement.textContent") == EXAMPLES[1]
    shared.keyboard.press("Enter")
    assert shared.input_value(TYPE) == EXAMPLES[1]
    shared.wait_for_selector("article .read:has-text('<b>')")
    assert shared.query_selector("article .read b") is None
    assert shared.inner_text("h1") == "Try <these>"


def test_without_a_text_there_is_no_answer(shared):
    shared.fill(TYPE, "good")
    shared.wait_for_selector(".answer")
    shared.fill(TYPE, "  ")
    shared.wait_for_selector(".answer", state="hidden")
    assert shared.inner_text("#status") == "Type a text, or choose an example."
    assert shared.text_content("#spoken") == ""


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_it_is_accessible_and_fits_a_phone(browser, address, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    size = {"width": width, "height": 844}
    with opened(browser, address, viewport=size, color_scheme=scheme) as (page, watch):
        page.wait_for_selector(LOADED, state="attached")
        page.fill(TYPE, f"the film was great. {'x' * 300} awful, dull שלום עולם")
        page.wait_for_selector("#spoken:has-text('bag-of-words')", state="attached")
        found = Axe().run(page).response["violations"]
        serious = [(rule["id"], node["html"]) for rule in found for node in rule["nodes"]
                   if rule["impact"] in ("serious", "critical")]  # fmt: skip
        assert serious == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert (watch.foreign, watch.errors) == ([], [])


def test_ten_thousand_characters_right_to_left_leave_typing_quick(browser, address):
    with opened(browser, address) as (page, watch):
        page.wait_for_selector(LOADED, state="attached")
        text = ("שלום עולם good " * 700)[:10_000]
        page.fill(TYPE, text)
        page.wait_for_selector(".answer")
        # The page answers while the worker reads.
        page.type(TYPE, " abc")
        assert page.input_value(TYPE) == f"{text} abc"
        page.wait_for_selector("article:last-child .read:has-text('abc')")
        assert page.evaluate("getComputedStyle(document.querySelector('#text')).direction") == "rtl"
        assert (watch.foreign, watch.errors) == ([], [])


def test_neither_page_nor_worker_can_ask_another_host(browser, address):
    with opened(browser, address) as (page, watch):
        page.wait_for_selector(LOADED, state="attached")
        asked = """async () => {
          try { await fetch("http://127.0.0.2:9/"); return "reached"; } catch (error) { return String(error.name); }
        }"""
        assert page.evaluate(asked) == "TypeError"
        (worker,) = [one for one in page.workers if one.url.startswith("blob:")]
        assert worker.evaluate(asked) == "TypeError"
        assert watch.foreign == []
        # The policy refused both, before there was a request.
        assert sum("Content Security Policy" in told for told in watch.errors) >= 2


def test_a_model_that_cannot_be_loaded_is_told_and_the_others_answer(browser, made, tmp_path):
    import shutil

    broken = shutil.copytree(made[0], tmp_path / "page")
    (broken / "models" / "0" / "model.onnx").write_bytes(b"no model")
    (broken / "models" / "1" / "tokenizer.json").unlink()
    description = json.loads((broken / "models.json").read_text(encoding="utf-8"))
    description["models"][2]["checks"][0]["probabilities"] = [0.0, 1.0]
    (broken / "models.json").write_text(json.dumps(description), encoding="utf-8")
    with serving(broken) as url, opened(browser, url) as (page, watch):
        page.wait_for_selector(LOADED, state="attached")
        page.fill(TYPE, "great")
        page.wait_for_selector("article:last-child .answer")
        states = [state.inner_text() for state in page.query_selector_all(".state")]
        assert states[0].startswith("This model could not be loaded: ")
        assert states[1] == "This model could not be loaded: tokenizer.json: HTTP status 404"
        assert states[2].startswith("Scores here differ from those in Python by up to ")
        assert watch.foreign == []


def test_the_machine_that_made_the_page_got_the_same_scores(shared):
    differences = [float(card.get_attribute("data-difference")) for card in shared.query_selector_all("article")]
    assert max(differences) < 1e-4
