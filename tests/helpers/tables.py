"""Tables as people write them: any delimiter, quoting, order, header, line end and encoding."""

import csv
import dataclasses
import io
import random
from pathlib import Path
from typing import Any

WORDS = 'the film was good and bad, really; a plot | twist "ending" it\'s 5 stars — never'.split()
DELIMITERS = (",", "\t", ";", "|")
QUOTINGS = (csv.QUOTE_NONE, csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
LINE_ENDS = ("\n", "\r\n")
ORDERS = {"text first": ("text", "label"), "label first": ("label", "text"), "with an id": ("id", "text", "label")}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32")


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How a table is written."""

    delimiter: str = ","
    quoting: Any = csv.QUOTE_MINIMAL
    line_end: str = "\n"
    header: bool = True
    order: str = "text first"
    encoding: str = "utf-8"
    above: str = ""
    """What stands above the table, such as Excel's `sep=;`."""

    @property
    def keys(self) -> dict[str, Any]:
        """What `CorpusConfig` has to be told of it."""
        names = ORDERS[self.order]
        return {} if self.header else {f"{name}_column": str(names.index(name) + 1) for name in ("text", "label")}

    def write(self, rows: list[tuple[str, str]], file: Path) -> Path:
        """Write rows of text and label."""
        cells = [{"text": text, "label": label, "id": str(1000 + number)} for number, (text, label) in enumerate(rows)]
        whole = [[row[name] for name in ORDERS[self.order]] for row in cells]
        whole = [list(ORDERS[self.order]), *whole] if self.header else whole
        stream = io.StringIO()
        stream.write(self.above)
        if self.quoting == csv.QUOTE_NONE:
            stream.write("".join(self.delimiter.join(row) + self.line_end for row in whole))
        else:
            csv.writer(stream, delimiter=self.delimiter, quoting=self.quoting, lineterminator=self.line_end).writerows(
                whole
            )
        file.write_bytes(stream.getvalue().encode(self.encoding))
        return file

    def rows(self, count: int, rng: random.Random) -> list[tuple[str, str]]:
        """Made-up rows that it can write; texts hold delimiters, quotes and line ends where that is possible."""
        forbidden = self.delimiter if self.quoting == csv.QUOTE_NONE else ""
        return [
            (review(rng, forbidden, lines=self.quoting != csv.QUOTE_NONE), rng.choice(["pos", "neg"]))
            for _ in range(count)
        ]


def review(rng: random.Random, forbidden: str, lines: bool) -> str:
    """A text of a few words; some begin or end with a quote, or have several lines."""
    words = [rng.choice(WORDS) for _ in range(rng.randrange(3, 15))]
    text = " ".join("".join(letter for letter in word if letter not in forbidden) for word in words).strip() or "fine"
    if lines and rng.random() < 0.3:
        text = text.replace(" ", "\n", 2)
    draw = rng.random()
    return f'"{text}' if draw < 0.15 else f'{text}"' if draw < 0.25 else f'"{text}"' if draw < 0.3 else text


def any_dialect(rng: random.Random) -> Dialect:
    """A dialect by chance."""
    return Dialect(
        rng.choice(DELIMITERS),
        rng.choice(QUOTINGS),
        rng.choice(LINE_ENDS),
        rng.random() < 0.7,
        rng.choice(list(ORDERS)),
        rng.choice(ENCODINGS),
    )
