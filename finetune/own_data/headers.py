"""What columns are called, and whether the first row of a table has their names or is one of its rows."""

import re
from collections.abc import Container, Iterable, Mapping

from finetune.own_data.contents import QUESTION_ENDS, Content, weight
from tokenizer.corpus.dialects import DELIMITERS
from tokenizer.corpus.documents import is_number, label_key
from tokenizer.corpus.joined_labels import JOINTS

# What such columns are called in published data sets, the most frequent first.
TEXT_NAMES = (
    "text", "review", "sentence", "texts", "reviews", "sentences", "full_text", "review_text", "reviewtext",
    "review_body", "comment_text", "tweet_text", "content", "comment", "message", "tweet", "post", "comments", "tweets",
    "utterance", "question",
)  # fmt: skip
# What these hold is never an id, also where it is a word.
SURE_TEXT_NAMES = ("text", "texts", "sentence", "sentences")
# Other columns may be called so, too: taken only if none has much longer texts.
LESSER_TEXT_NAMES = ("body", "document", "description", "abstract", "title")
MUCH_LONGER = 3
# What the columns of pairs of texts are called.
PAIRS = (
    ("premise", "hypothesis"), ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("sentence_a", "sentence_b"),
    ("text1", "text2"), ("text_1", "text_2"), ("text_a", "text_b"), ("question1", "question2"), ("question", "answer"),
    ("question", "sentence"), ("question", "passage"),
)  # fmt: skip
ALL_TEXT_NAMES = (*TEXT_NAMES, *LESSER_TEXT_NAMES)
LABEL_NAMES = (
    "label", "labels", "sentiment", "class", "category", "target", "polarity", "stars", "rating", "score", "topic",
    "intent", "emotion", "y", "tags", "genres", "topics", "categories", "emotions", "intents",
)  # fmt: skip
# A name of a column does not have as many words.
LONGEST_NAME = 6
# A column has fewer questions among its texts, if the one above them is its name.
FEW_QUESTIONS = 0.05
# What stands for a number that is missing.
MISSING = ("", "na", "n/a", "nan", "none", "null", "-", "?")
# What stands for the label of a text whose label is hidden, as in GLUE.
HIDDEN = "-1"
# Between the words of a name.
BETWEEN_WORDS = re.compile(r"[\s_-]+")
# What is rather a name than a text of one word.
IDENTIFIER = re.compile(r"[a-z][a-z0-9]*|[A-Za-z]\w*_\w*", re.ASCII)
SENTENCE_ENDS = (".", "?")
# Of what is no name even if it is one word, and of Chinese and Japanese, which has no spaces.
SURE_ENDS = ("!", "\u3002", "\uff01", "\uff1f")


def is_data(contents: Mapping[str, Content]) -> bool:
    """Whether what was taken for the names of columns is a row: one of them is a text, and none is known.

    A question of a survey is a text, too; but of a row, what stands above a few values is one of them. If so, a text is
    also what is as long as the texts below it, or what stands beside a number above numbers that are classes, but for
    a name in small letters: `doc,0,1` may be columns for the classes 0 and 1.

    >>> few = Content(rows=9, filled=9, values={"1", "0"})
    >>> is_data({"I liked this film a good deal.": Content(), "1": few}), is_data({"text": Content(), "label": few})
    (True, False)
    >>> is_data({"What did you like about this film?": Content(), "How much?": few})
    False
    >>> texts = Content(rows=9, filled=9, texts=9, words=9, characters=110)
    >>> is_data({"superb plot": texts, "1": few}), is_data({"Ok": texts, "1": few}), is_data({"1": texts, "0": few})
    (True, True, False)
    >>> is_data({"doc_en": texts, "1": few}), is_data({"no way": texts, "1": few})
    (False, True)
    >>> words = Content(rows=9, filled=9, values={"good", "bad"})
    >>> is_data({"is so": texts, "good": words}), is_data({"sms": texts, "good": words})
    (True, False)

    An empty cell tells nothing, and a sentence beside a class outweighs what is no class above one column. A class
    beside a sentence may be called as columns are, or have other letters, but for a question that is one of few.
    Without a sentence, a column of classes may be called as one of them by a usual name of labels, but not of texts.

    >>> long = "It was a good film, all in all."
    >>> [is_data({long: texts, "good": words, other: words}) for other in ("", "rare", "good_2")]
    [True, True, True]
    """
    # A cell that stands there twice has got a number as a name.
    names = {name: cell_of(name, contents) for name in contents}
    classes = [name for name, held in contents.items() if held.may_be_classes]
    has_sentence = any(map(is_no_name, names.values()))
    own = own_classes(names, contents)
    misfits = [name for name in classes if names[name] and name not in own]
    if (classes and not own) or len(misfits) > has_sentence:
        return False
    called = {plain(names[name]) for name in own}
    known = are_names(cell for name, cell in names.items() if name not in own)
    known = known or not (has_sentence or called.isdisjoint(LABEL_NAMES))
    if known or any(is_above_numbers(names[name], held) for name, held in contents.items()):
        return False
    if not called.isdisjoint(ALL_TEXT_NAMES):
        return True
    texts = {name: held for name, held in contents.items() if held.holds_texts and name not in classes}
    longest = max(texts, key=lambda name: texts[name].length, default=None)
    if classes and longest is not None:
        # Texts of several words are seldom the name of a column, and a class in words is seldom that of another.
        has_words = " " in names[longest] and not all(is_number(names[name]) for name in own)
        if is_long_enough(names[longest], texts[longest], 3 if has_words else 2):
            return True
        if not may_be_name(names[longest]) and any(all(map(is_number, contents[name].values)) for name in own):
            return True
    # Beside the number of a row, several words are a text, also a question, and one that is as long as those below it.
    has_number = any(is_number(names[name]) and held.numbers == held.filled > 0 for name, held in contents.items())
    if has_number and longest is not None and is_text_beside_number(names[longest], texts[longest]):
        return True
    if not (classes or has_number) and any(is_question_above_answers(names[name], contents[name]) for name in names):
        return False
    return has_sentence


def may_be_name(cell: str) -> bool:
    """Whether a cell above texts may be the name of their column beside a number: a word in small letters, or a number.

    >>> [may_be_name(cell) for cell in ("doc", "doc_EN", "0", "Ok", "no way")]
    [True, True, True, False, False]
    """
    return is_number(cell) or IDENTIFIER.fullmatch(cell) is not None


def is_text_beside_number(cell: str, held: Content) -> bool:
    """Whether a cell above texts is one of them, if a number of the same row is not above what is none.

    >>> texts = Content(filled=9, texts=9, words=9, characters=270)
    >>> [is_text_beside_number(cell, texts) for cell in ("so good", "Good", "Not-too-bad-by-any-means")]
    [True, False, True]
    """
    return not may_be_name(cell) and (" " in cell or is_long_enough(cell, held))


def is_header_above(contents: Mapping[str, Content], numbers: Iterable[str]) -> bool:
    """Whether the first row may have names of columns, though the numbers of some are given: what stands above classes
    is none of them or, where there are none, something there is a usual name, or stands above numbers. A class that no
    other row has looks like a name, and could not be trained on.

    Args:
        contents: what each column holds, by the cells of the first row.
        numbers: of the columns that are labels; if there are none, any may be one.

    >>> texts, words = Content(filled=9, texts=9), Content(rows=9, filled=9, values={"good", "bad"})
    >>> [is_header_above({"satz": texts, cell: words}, ["2"]) for cell in ("mood", "good", "so;so", "1")]
    [True, False, False, False]
    >>> is_header_above({"satz": texts, "intent": texts}, ["2"]), is_header_above({"satz": texts, "a": texts}, ["2"])
    (True, False)
    """
    cells = [(cell_of(name, contents), held) for name, held in contents.items()]
    above = [cells[int(number) - 1] for number in numbers if number.isdecimal() and 0 < int(number) <= len(cells)]
    few = [(cell, held) for cell, held in above or cells if cell and held.may_be_classes]
    if any(is_value(*one) for one in few):
        return False
    # A number, or several labels, may be there only once, and be a class or a name.
    if any(not (is_number(cell) or has_joint(cell)) for cell, _ in few):
        return True
    others = [(cell, held) for cell, held in cells if not is_value(cell, held)]
    return are_names(cell for cell, _ in others) or any(is_above_numbers(*one) for one in others)


def has_joint(cell: str) -> bool:
    """Whether a cell may be several labels, which may stand there only once together.

    >>> has_joint("bug;billing"), has_joint("mood")
    (True, False)
    """
    return any(joint in cell for joint in JOINTS)


def own_classes(names: Mapping[str, str], contents: Mapping[str, Content]) -> list[str]:
    """The columns with a few values of which the cell of the first row is one: beside a sentence above texts, in any
    letters.
    """
    # A survey calls a column as one of its answers, but for a capital.
    is_question = any(is_question_above_answers(names[name], contents[name]) for name in names)
    has_sentence = any(is_no_name(names[name]) and held.holds_texts for name, held in contents.items())
    in_any_case = has_sentence and not is_question
    return [
        name
        for name, held in contents.items()
        if held.may_be_classes
        and (names[name] in held.values or ((in_any_case or is_number(names[name])) and is_value(names[name], held)))
    ]


def is_value(cell: str, held: Content) -> bool:
    """Whether a cell is one of the values below it, whatever the case, or how a number is written.

    >>> is_value("Good", Content(values={"good", "bad"})), is_value("1", Content(values={"1.0"}))
    (True, True)
    """
    return label_key(cell) in map(label_key, held.values)


def is_no_name(cell: str) -> bool:
    """Whether a cell of the first row is a text by itself, and no name of a column.

    >>> is_no_name("It was fine."), is_no_name("Great!"), is_no_name("Loved it"), is_no_name("etc.")
    (True, True, False, False)
    """
    words = cell.split()
    return len(words) > LONGEST_NAME or (len(words) > 1 and cell.endswith(SENTENCE_ENDS)) or cell.endswith(SURE_ENDS)


def looks_like_a_text(cell: str) -> bool:
    """Whether a cell that is taken for a name may be a text as well.

    >>> looks_like_a_text("Loved it"), looks_like_a_text("Why?"), looks_like_a_text("review text")
    (True, True, False)
    """
    return not are_names([cell]) and (len(cell.split()) > 1 or cell.endswith((*SENTENCE_ENDS, *SURE_ENDS)))


def is_above_numbers(cell: str, held: Content) -> bool:
    """Whether a cell is no number, as all below it are: it is the name of their column.

    >>> is_above_numbers("id", Content(filled=9, numbers=9)), is_above_numbers("1", Content(filled=9, numbers=9))
    (True, False)
    """
    return cell.lower() not in MISSING and held.numbers == held.filled > 0 and not is_number(cell)


def is_question_above_answers(cell: str, held: Content) -> bool:
    """Whether a cell is a question, as hardly any text below it is.

    >>> texts = Content(filled=9, texts=9, words=9, characters=110)
    >>> is_question_above_answers("Why?", texts), is_question_above_answers("So.", texts)
    (True, False)
    """
    is_question = cell.endswith(QUESTION_ENDS) and held.holds_texts
    return is_question and held.questions < FEW_QUESTIONS * held.filled


def is_a_header(cells: Mapping[str, str], contents: Mapping[str, Content]) -> bool:
    """Whether the first of the rows that were looked at is a header: a cell of it is no number, as all others below.

    >>> numbers = {"1": Content(filled=9, numbers=8)}
    >>> is_a_header({"1": "Nr"}, numbers), is_a_header({"1": "NA"}, numbers), is_a_header({"1": "7"}, numbers)
    (True, False, False)
    """
    return any(
        not is_number(cells[name])
        and cells[name].strip().lower() not in MISSING
        and held.numbers == held.filled - 1 > 1
        for name, held in contents.items()
        if name in cells
    )


def are_names(cells: Iterable[str]) -> bool:
    """Whether a cell of a row is a usual name of a column."""
    return any(plain(cell) in (*ALL_TEXT_NAMES, *LABEL_NAMES) for cell in cells)


def is_a_row_of_names(line: str) -> bool:
    """Whether a line is the header of a table with several columns, one of which has a usual name.

    >>> is_a_row_of_names('"id";"text"'), is_a_row_of_names("Good, long"), is_a_row_of_names("comment")
    (True, False, False)
    """
    tables = (line.split(delimiter) for delimiter in DELIMITERS if delimiter in line)
    return any(are_names(cell.strip().strip('"') for cell in cells) for cells in tables)


def is_long_enough(cell: str, held: Content, shorter: float = 2) -> bool:
    """Whether a cell may be one of the texts below it, by its length; those may be so many times as long."""
    return shorter * weight(cell) >= held.length > 0


def pair_in(contents: dict[str, Content], label: str | None = None) -> tuple[str, str] | None:
    """The columns of a pair of texts, by their names; none of them is the label."""
    by_name = {plain(name): name for name, held in contents.items() if held.holds_texts and name != label}
    found = next((pair for pair in PAIRS if {*pair} <= by_name.keys()), None)
    return None if found is None else (by_name[found[0]], by_name[found[1]])


def first_of_pair(contents: dict[str, Content]) -> str | None:
    """The first text of a pair, if there is one; a parse of it is longer."""
    pair = pair_in(contents)
    return None if pair is None else pair[0]


def cell_of(name: str, names: Container[str]) -> str:
    """The cell of the first row that a column is called by, without what tells it from another with the same.

    >>> cell_of("0_2", ["0", "text", "0_2"]), cell_of("a_2", ["a_2"]), cell_of("5", ["5", ""])
    ('0', 'a_2', '5')
    """
    cell, mark, number = name.rpartition("_")
    return (cell if mark and number.isdecimal() and cell in names else name).strip()


def plain(name: str) -> str:
    """The name of a column as it stands in the lists of usual names.

    >>> plain(" Review Text"), plain("review-text")
    ('review_text', 'review_text')
    """
    return BETWEEN_WORDS.sub("_", name.strip().casefold())
