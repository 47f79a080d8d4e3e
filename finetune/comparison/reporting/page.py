"""A report as one HTML file that asks the network for nothing."""

import base64
import hashlib
import json
import re
from pathlib import Path

import jinja2
from markupsafe import Markup

from finetune.comparison.analysis.words import printable
from finetune.comparison.figures.plot import Figure
from finetune.comparison.page_command import PORT
from finetune.comparison.reporting.content import Report
from finetune.comparison.reporting.method import method
from finetune.comparison.reporting.tables import Cell, csv_text

FOLDER = Path(__file__).parent
TEMPLATE, PROGRAM = FOLDER / "page.html.j2", FOLDER / "page.js"
SHEETS = FOLDER / "page.css", FOLDER.parent / "figures" / "figure.css"
WIDTHS = ("narrow", "wide")
# Of a figure that stands alone, on the white of slides.
LIGHT = (
    "svg { --page: #ffffff; --ink: #1a1a1a; --quiet: #595959; --rule: #d9d9d9; --faint: #ececec; "
    "--pre: #0b5fa5; --raw: #b04a00; background: #ffffff; }\n"
)


def page(report: Report) -> str:
    """The page, with its figures, tables and data inside.

    Nothing is loaded and nothing but the page's own script runs: its Content-Security-Policy allows the one style sheet
    and the one script by their hashes, and no address.
    """
    sheet = "\n" + "".join(file.read_text(encoding="utf-8") for file in SHEETS)
    program = "\n" + PROGRAM.read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_printable
    )
    environment.filters["tight"] = tight
    records = report.tables()

    def data_address(name: str) -> str:
        content = base64.b64encode(csv_text(records[name]).encode()).decode()
        return f"data:text/csv;charset=utf-8;base64,{content}"

    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        report=report,
        method=method(report.method),
        port=PORT,
        policy=Markup(policy(sheet, program)),
        sheet=Markup(sheet),
        program=Markup(program),
        data_address=data_address,
        attributes=attributes,
        drawing=drawing,
    )


def policy(sheet: str, program: str) -> str:
    """The Content-Security-Policy: the style sheet and the script by their hashes, an empty picture, nothing else."""
    sums = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (sheet, program)]
    return (
        f"default-src 'none'; style-src 'sha256-{sums[0]}'; script-src 'sha256-{sums[1]}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _printable(value: object) -> object:
    """What a template shows, without what cannot be written."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return printable(value)


def tight(sentence: str) -> str:
    r"""A sentence in which no line begins with a percent sign.

    >>> tight("80.0 % of 5 %")
    '80.0\xa0% of 5\xa0%'
    """
    return re.sub(r"(?<=\d) %", "\u00a0%", sentence)


def attributes(cell: Cell) -> Markup:
    """The attributes of a cell: what it is sorted by, and its shade."""
    order = "" if cell.order is None else f' data-order="{_number(cell.order)}"'
    return Markup(order + (f' class="s{cell.shade}"' if cell.shade else ""))


def _number(value: float) -> str:
    """A number that JavaScript reads as it is.

    >>> _number(float("inf")), _number(0.25), _number(True)
    ('Infinity', '0.25', '1')
    """
    return json.dumps(int(value) if isinstance(value, bool) else value)


def drawing(figure: Figure, number: int) -> Markup:
    """The narrow or the wide drawing of a figure, for the page."""
    return Markup(figure.drawings[number].svg(WIDTHS[number]))


def figure_file(figure: Figure) -> str:
    """The wide drawing of a figure as a file of its own, for slides."""
    sheet = LIGHT + SHEETS[1].read_text(encoding="utf-8")
    return figure.drawings[1].svg("alone", sheet) + "\n"
