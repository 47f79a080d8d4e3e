"""The page in a browser: on a phone, on a wide screen, in the dark, on paper, by keyboard, without scripts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.comparisons import make, write_report
from tests.helpers.http.browser import chromium

NAMES = {"<b>ours</b> with a rather long name": "bert", "half \ud83d": "lstm"}
SCREENS = {"phone": (390, 844, "light"), "wide": (1280, 900, "light"), "dark": (1280, 900, "dark")}

# Texts of the figures: where they are, and how large.
TEXTS = """() => [...document.querySelectorAll("svg")].filter((svg) => svg.checkVisibility()).flatMap((svg) =>
  [...svg.querySelectorAll("text")].map((text) => {
    const box = text.getBoundingClientRect();
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    return {text: text.textContent, left: box.left, right: box.right, top: box.top, bottom: box.bottom,
      size: parseFloat(getComputedStyle(text).fontSize) * scale, name: text.classList.contains("name"),
      figure: [...document.querySelectorAll("svg")].indexOf(svg)};
  }))"""
DRAWN = """() => [...document.querySelectorAll("figure")].map((figure) => {
  const shown = [...figure.querySelectorAll("svg")].filter((svg) => svg.checkVisibility());
  const box = shown[0].getBoundingClientRect();
  return {shown: shown.length, width: box.width, height: box.height,
    marks: [...shown[0].querySelectorAll(".mark")].filter((mark) => mark.getBoundingClientRect().width > 3).length};
})"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report with names of malice."""
    scores = {"bag-of-words": 0.7, "half \ud83d": 0.6, "<b>ours</b> with a rather long name": 0.9, "bert-scratch": 0.69}
    labels = ("<script>alert('label')</script>", "جيد")
    folder = tmp_path_factory.mktemp("page")
    return (write_report(make(folder, scores, classes=labels, names=NAMES)) / "report.html").resolve().as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


class Opened:
    """A page, with what it said and asked for."""

    def __init__(self, browser: Any, address: str, width: int, height: int, scheme: str, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **options)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("requestfailed", lambda request: self.failed.append((request.url, request.failure)))
        self.page.goto(address)


@pytest.fixture(params=SCREENS)
def opened(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Opened]:
    one = Opened(browser, address, *SCREENS[request.param])
    yield one
    one.context.close()


@pytest.fixture
def wide(browser: Any, address: str) -> Iterator[Opened]:
    one = Opened(browser, address, *SCREENS["wide"])
    yield one
    one.context.close()


def test_nothing_is_asked_for_and_nothing_goes_wrong(opened: Opened, address: str) -> None:
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [address]
    assert opened.page.title() == "Bertlet: made"


def test_the_policy_stops_what_is_not_the_page_s_own(wide: Opened) -> None:
    for attempt in (
        "const one = document.createElement('script'); one.textContent = 'window.got = 1'; document.body.append(one)",
        "const one = document.createElement('img'); one.src = 'http://127.0.0.1:9/x.png'; document.body.append(one)",
        "const one = document.createElement('style'); one.textContent = 'p { color: red }'; document.body.append(one)",
    ):
        wide.page.evaluate(f"() => {{ {attempt} }}")
    wide.page.wait_for_timeout(50)
    assert wide.page.evaluate("window.got") is None
    assert sum("Content Security Policy" in line for line in wide.said) == 3
    # It never left: the policy has stopped it.
    assert [failure for url, failure in wide.failed if "127.0.0.1" in url] == ["csp"]


def test_figures_are_drawn_and_their_texts_can_be_read(opened: Opened) -> None:
    figures = opened.page.evaluate(DRAWN)
    assert len(figures) == 5
    for figure in figures:
        assert figure["shown"] == 1
        assert figure["width"] > 300
        assert figure["height"] > 200
        assert figure["marks"] >= 4
    width = opened.page.viewport_size["width"]
    texts = opened.page.evaluate(TEXTS)
    assert len(texts) > 60
    for text in texts:
        assert text["size"] >= 11, text
        assert text["left"] >= 0, text
        assert text["right"] <= width, text
    names = [text for text in texts if text["name"]]
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            beside = first["right"] <= second["left"] + 2 or second["right"] <= first["left"] + 2
            below = first["bottom"] <= second["top"] + 5 or second["bottom"] <= first["top"] + 5
            assert first["figure"] != second["figure"] or beside or below, (first, second)


def test_the_page_does_not_scroll_sideways(opened: Opened) -> None:
    for details in (False, True):
        opened.page.evaluate(
            "open => document.querySelectorAll('details').forEach((part) => { part.open = open })", details
        )
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= opened.page.viewport_size["width"]


@pytest.mark.parametrize("opened", ["phone", "dark"], indirect=True)
def test_nobody_is_kept_out(opened: Opened) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    opened.page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true })")
    found = axe.run(opened.page).response["violations"]
    grave = [
        (one["id"], one["help"], one["nodes"][0]["html"][:200])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert grave == []


def column(page: Any, heading: str) -> list[str]:
    """The cells of a column of the first table, from top to bottom."""
    return page.evaluate(
        """heading => { const table = document.querySelector("table.sortable");
        const place = [...table.querySelectorAll("thead th")].findIndex((cell) => cell.textContent.startsWith(heading));
        return [...table.tBodies[0].rows].map((row) => row.cells[place].textContent.trim()); }""",
        heading,
    )


def test_tables_sort_by_a_button_in_the_heading(wide: Opened) -> None:
    table = wide.page.locator("table.sortable").first
    before = column(wide.page, "accuracy")
    assert before == sorted(before, reverse=True)
    heading = table.locator("thead th", has_text="accuracy, %")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    heading.get_by_role("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert column(wide.page, "accuracy") == before[::-1]
    models = table.locator("thead th", has_text="model")
    models.get_by_role("button").click()
    assert (models.get_attribute("aria-sort"), heading.get_attribute("aria-sort")) == ("ascending", None)
    names = column(wide.page, "model")
    assert names == sorted(names, key=str.lower)


def test_points_tell_their_values_to_mouse_and_keyboard(wide: Opened) -> None:
    figure = wide.page.locator("figure").first
    line = figure.locator(".told")
    hint = line.text_content()
    points = figure.locator("svg.wide .point")
    points.nth(1).hover()
    told = line.text_content()
    assert told != hint
    assert told == points.nth(1).get_attribute("aria-label") == points.nth(1).get_attribute("data-told")
    assert "%" in told
    wide.page.mouse.move(2, 2)
    assert line.text_content() == hint
    points.nth(0).focus()
    wide.page.keyboard.press("ArrowRight")
    assert line.text_content() == told
    wide.page.keyboard.press("End")
    assert line.text_content() == points.last.get_attribute("data-told")
    # One stop for the whole figure.
    assert figure.locator("svg.wide .point[tabindex='0']").count() == 1


def test_the_first_stop_skips_to_the_verdict(wide: Opened) -> None:
    wide.page.keyboard.press("Tab")
    assert wide.page.evaluate("document.activeElement.className") == "skip"
    assert wide.page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    wide.page.keyboard.press("Enter")
    assert wide.page.evaluate("location.hash") == "#verdict"


def test_paper_is_light_shows_everything_and_cuts_nothing(browser: Any, address: str) -> None:
    # 182 mm between the margins of A4.
    one = Opened(browser, address, 688, 980, "dark")
    one.page.emulate_media(media="print", color_scheme="dark")
    colours = one.page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert colours[0] == "rgb(255, 255, 255)"
    assert colours[1] == "rgb(26, 26, 26)"
    cut = one.page.evaluate(
        "[...document.querySelectorAll('.scroll, pre')].filter((part) => part.scrollWidth > part.clientWidth + 1)"
        ".map((part) => part.textContent.slice(0, 60))"
    )
    assert cut == []
    hidden = one.page.evaluate(
        "[...document.querySelectorAll('details > :not(summary)')]"
        ".filter((part) => !part.getBoundingClientRect().height).length"
    )
    assert hidden == 0
    assert one.page.evaluate("document.querySelectorAll('details:not([open])').length") > 3
    one.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert one.page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    one.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert one.page.evaluate("document.querySelectorAll('details:not([open])').length") > 3
    assert len(one.page.pdf()) > 50_000
    one.context.close()


def test_without_scripts_everything_is_there(browser: Any, address: str) -> None:
    one = Opened(browser, address, 1280, 900, "light", java_script_enabled=False)
    assert one.page.locator("table.sortable").count() > 10
    assert one.page.locator("thead button").count() == 0
    assert one.page.locator("svg.wide .point title").first.text_content()
    assert one.said == []
    one.context.close()


def test_a_download_holds_the_numbers(wide: Opened, tmp_path: Path) -> None:
    with wide.page.expect_download() as waiting:
        wide.page.get_by_role("link", name="scores.csv").click()
    waiting.value.save_as(tmp_path / "scores.csv")
    assert waiting.value.suggested_filename == "scores.csv"
    lines = (tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("model,label_budget,")
    assert len(lines) == 1 + 4 * 2
