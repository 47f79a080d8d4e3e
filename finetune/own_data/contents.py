"""What the columns of a table hold: texts, numbers, or a few values that come often."""

import dataclasses
import decimal
import re
from typing import Any

from tokenizer.corpus.documents import is_number
from tokenizer.corpus.row_labels import APPLIES

# More different values are taken for classes only below a usual name.
MAXIMUM_CLASSES = 50
# More different values are not counted.
MAXIMUM_VALUES = 1000
# A class has this many texts, on average, at least.
TEXTS_A_CLASS = 4
# Of fewer rows, classes may all be different.
FEW_ROWS = 8
# A row of JSON may have a number where the others have a text.
MOSTLY = 0.95
# Characters of the texts in a column, on average, at least, where most have one word.
SHORTEST_TEXTS = 12
# Chinese and Japanese; Thai, Lao, Burmese and Khmer. All are written without spaces between words.
HAN_AND_KANA, SOUTH_EAST_ASIAN = "\u3005\u3040-\u30ff\u3400-\u9fff", "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
HANGUL = "\uac00-\ud7af"
# Korean texts of several words may have none, either.
WITHOUT_SPACES = re.compile(f"[{HAN_AND_KANA}{SOUTH_EAST_ASIAN}{HANGUL}]")
# A character says what others say in two or three.
DENSE = re.compile(f"[{HAN_AND_KANA}{HANGUL}]")
# Where there are no spaces, a character; Korean has some.
WORD = re.compile(rf"[{HAN_AND_KANA}{SOUTH_EAST_ASIAN}]|[^\s{HAN_AND_KANA}{SOUTH_EAST_ASIAN}]+")
# Between the parts of a file's name.
BETWEEN_PARTS = re.compile(r"[\W_]+")
# What splits are called.
UNLABELLED_NAMES = ("unlabelled", "unsupervised", "unlabeled", "unsup")
SPLIT_NAMES = {
    "train", "training", "test", "testing", "validation", "valid", "val", "dev", "development", "eval", "evaluation",
    *UNLABELLED_NAMES,
}  # fmt: skip
QUESTION_ENDS = ("?", "\uff1f")
# Dates with the name of a month, which has more letters than they have digits: `December 3, 2017`, `3 de mayo de 2023`.
DATE = re.compile(r"(?:\d{1,2}\W+(?:de )?[^\W\d]+|[^\W\d]+\W+\d{1,2})\W+(?:de )?\d{4}\W*")
# A time, or a day in numbers, which other numbers among words are not.
TIME_OR_DAY = re.compile(r"\d{1,2}:\d{2}|\d{1,4}[-/.\u5e74]\s?\d{1,2}[-/.\u6708]\s?\d{1,4}")
# One number, with its marks: `1,234.50`, `$5`, `12 %`.
ONE_NUMBER = re.compile(r"\W*\d[\d.,']*\W*")
LONGEST_DATE = 60
ADDRESS = re.compile(r"(?:https?://|www\.)\S+|[^\s@]+@[^\s@]+\.\w+", re.IGNORECASE)


@dataclasses.dataclass
class Content:
    """What a column holds."""

    rows: int = 0
    filled: int = 0
    texts: int = 0
    """Values that are strings."""
    characters: int = 0
    words: int = 0
    """Values of several words; of scripts without spaces, all. Dates are none."""
    numbers: int = 0
    """Values that are numbers, also as text."""
    dates: int = 0
    """Values that are dates, times with their zones, or numbers."""
    wordless: int = 0
    """Strings without a letter."""
    addresses: int = 0
    """Values that are an address of a page or of mail."""
    binary: int = 0
    """Values that are bytes."""
    lists: int = 0
    objects: int = 0
    """Values that are an object of JSON, or a list of them."""
    questions: int = 0
    values: set[str] = dataclasses.field(default_factory=set)
    """The different values, up to a number of them."""

    def add(self, value: Any, separator: str | None = None) -> None:
        """Count a value, or the values of a list or of a cell with a separator."""
        self.rows += 1
        if value is None or value == "":
            return
        self.filled += 1
        if isinstance(value, str):
            self.texts += 1
            self.characters += weight(value)
            is_dated = is_date(value)
            self.dates += is_dated
            self.words += not is_dated and (" " in value.strip() or WITHOUT_SPACES.search(value) is not None)
            self.wordless += not any(map(str.isalpha, value))
            self.addresses += is_address(value)
            self.questions += value.rstrip().endswith(QUESTION_ENDS)
        self.binary += isinstance(value, bytes)
        self.lists += isinstance(value, list)
        self.objects += isinstance(value[0] if isinstance(value, list) and value else value, dict)
        self.numbers += not isinstance(value, list) and is_number(str(value))
        several = value if isinstance(value, list) else [value]
        if separator and isinstance(value, str):
            several = [part.strip() for part in value.split(separator) if part.strip()]
        for one in several:
            if len(self.values) <= MAXIMUM_VALUES and isinstance(one, str | int | float | decimal.Decimal):
                # Around a separator there may be spaces.
                self.values.add(str(one).strip())

    @property
    def length(self) -> float:
        """Characters of a text, on average; 0 for a column of something else."""
        return self.characters / self.texts if self.texts and self.texts >= MOSTLY * self.filled else 0.0

    @property
    def holds_texts(self) -> bool:
        """Whether most values are of several words, as no names, addresses, digests or counts are."""
        return self.length > 0 and 2 * self.words > self.filled

    @property
    def is_wordless(self) -> bool:
        """Whether most values are without letters, as tokens by number, sums and phone numbers are."""
        return 2 * self.wordless > self.filled

    @property
    def holds_numbers(self) -> bool:
        """Whether most values are numbers."""
        return 2 * self.numbers > self.filled

    @property
    def holds_dates(self) -> bool:
        """Whether most values are numbers, dates or times, which are no texts."""
        return 2 * self.dates > self.filled

    @property
    def holds_addresses(self) -> bool:
        """Whether most values are addresses."""
        return 2 * self.addresses > self.filled

    @property
    def holds_no_texts(self) -> bool:
        """Whether most values are numbers, dates or addresses."""
        return self.holds_numbers or self.holds_dates or self.holds_addresses

    @property
    def kind_of_objects(self) -> str | None:
        """What most values are called, if they are objects, which are no texts and no labels."""
        if 2 * self.objects <= self.filled:
            return None
        return "a list of objects" if 2 * self.lists > self.filled else "an object"

    @property
    def are_all_different(self) -> bool:
        """Whether no value stands there twice, as far as they are counted, which numbers of rows never do."""
        return len(self.values) > MAXIMUM_VALUES or len(self.values) == self.filled >= FEW_ROWS

    @property
    def may_be_classes(self) -> bool:
        """Whether it holds a few values, each often."""
        return len(self.values) <= MAXIMUM_CLASSES and self.repeats(TEXTS_A_CLASS)

    @property
    def are_zero_or_one(self) -> bool:
        """Whether it tells of each row whether a label applies."""
        return {value.lower() for value in self.values} <= {*APPLIES}

    @property
    def are_splits(self) -> bool:
        """Whether it holds the names of splits, as a column beside the label may do."""
        return {value.casefold() for value in self.values} <= SPLIT_NAMES

    def repeats(self, times: int) -> bool:
        """Whether it holds values that come so often on average; many numbers with fractions are measurements."""
        if not 2 <= len(self.values) <= min(MAXIMUM_VALUES, self.filled / times):
            return False
        return len(self.values) <= MAXIMUM_CLASSES or not any(is_number(one) and float(one) % 1 for one in self.values)


def is_address(text: str) -> bool:
    """Whether a value is the address of a page or of mail.

    >>> [is_address(text) for text in ("https://example.org/a", "a.b@example.org", "see https://example.org")]
    [True, True, False]
    """
    return ADDRESS.fullmatch(text.strip()) is not None


def is_date(text: str) -> bool:
    """Whether a value has no words but those of a date, or is one number; several may be a text, as of a sum.

    >>> [is_date(text) for text in ("2023/05/01 10:00:00 AM GMT+2", "Mon Apr 06 22:19:45 PDT 2009", "May 20, 2012")]
    [True, True, True]
    >>> [is_date(text) for text in ("the best of 2019", "so so", "5 stars", "345 film 23", "POS 4929 1207 GB")]
    [False, False, False, False, False]
    >>> [is_date(text) for text in ("1,234.50", "12 %", "897 741 364", "+49 278 398562")]
    [True, True, False, False]
    """
    if len(text) > LONGEST_DATE:
        return False
    digits, letters = sum(map(str.isdigit, text)), sum(map(str.isalpha, text))
    is_mostly_digits = digits >= letters and TIME_OR_DAY.search(text) is not None
    is_one_number = ONE_NUMBER.fullmatch(text) is not None
    return digits > 0 and (is_mostly_digits or is_one_number or DATE.fullmatch(text.strip()) is not None)


def weight(text: str) -> int:
    """The length of a text in characters, as Latin letters would have it.

    >>> weight("good"), weight("\u5f88\u597d")
    (4, 4)
    """
    return len(text) + (0 if text.isascii() else len(DENSE.findall(text)))


def words_in_name(name: str) -> set[str]:
    """The words of a name, in small letters.

    >>> sorted(words_in_name("Reviews_train-2"))
    ['2', 'reviews', 'train']
    """
    return {*BETWEEN_PARTS.split(name.lower())}


def words_in(text: str) -> list[str]:
    """The words of a text; in scripts without spaces between words, the characters.

    >>> words_in("a good film, really"), words_in("\u5f88\u597d, ok")
    (['a', 'good', 'film,', 'really'], ['很', '好', ',', 'ok'])
    """
    return WORD.findall(text)
