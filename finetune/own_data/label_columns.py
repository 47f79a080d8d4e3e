"""Which column of a table is the label: by its name, else by what it holds."""

import logging

from configs.errors import InputError
from finetune.own_data.advice import Columns, as_labelled, described, how_to_give_labels
from finetune.own_data.contents import TEXTS_A_CLASS, Content
from finetune.own_data.headers import LABEL_NAMES, plain
from tokenizer.corpus.config import CorpusConfig

# Below these, many different values are classes, whatever stands beside them.
SURE_LABEL_NAMES = ("label", "labels", "class")
# What a text is about, or whom, has these names as often as its label has; a number below the last is its label.
TOPIC_NAMES, TARGET = ("category", "categories", "topic", "topics"), "target"
# A judgement, or how many votes a text has got.
VOTES = "score"
# The names of labels beside which a topic is asked about, also as the last word of longer ones (`star_rating`).
JUDGEMENTS = ({*LABEL_NAMES} | {"stance", "verdict", "judgement", "judgment"}) - {*TOPIC_NAMES, TARGET}

log = logging.getLogger(__name__)


def find_label(contents: dict[str, Content], corpus: CorpusConfig, text: str, likely: Columns | None = None) -> str:
    """The column of the label: one with a usual name, else the only one with a few values that come often.

    Of further texts under a header, only one with a usual name: another with a few values may be about something else.

    Args:
        contents: what each column holds.
        corpus: the corpus.
        text: the column of the text.
        likely: the columns of the labelled texts, if these are others.

    Raises:
        InputError: no column, or more than one, may be it.
    """
    others = {name: held for name, held in contents.items() if name not in (text, corpus.second_text_column)}
    by_name = {plain(name): name for name in others}
    named = [by_name[name] for name in LABEL_NAMES if name in by_name]
    allowed = [name for name in named if may_be_called(name, likely)]
    possible = [name for name, held in others.items() if held.may_be_classes and not is_split(name, held)]
    for name in named:
        topic = is_topic(name, contents[name])
        if name in possible and (topic or plain(name) == VOTES):
            beside = [other for other in possible if other != name]
            if topic and any(may_be_judgement(other) for other in beside):
                break
            if beside:
                log.info("columns: the label is %r, and not %s (`--label_column`)", name, ", ".join(map(repr, beside)))
        if name not in allowed:
            continue
        is_sure = plain(name) in SURE_LABEL_NAMES or not (possible or others[name].holds_numbers)
        if others[name].may_be_classes or (is_sure and others[name].repeats(TEXTS_A_CLASS)):
            return name
        if others[name].repeats(2):
            # Many classes, or a topic or a number of votes beside the label.
            break
    many = [name for name, held in others.items() if may_be_many_classes(held)]
    is_known = likely is None or all(map(str.isdecimal, contents))
    if len(possible) == 1 and not (named or many) and is_known:
        return possible[0]
    if not possible and allowed:
        # What is wrong with it is told when its values are read.
        return allowed[0]
    which = "none has a few values that come often"
    if splits := [name for name, held in others.items() if held.may_be_classes and is_split(name, held)]:
        hold = "holds" if len(splits) == 1 else "hold"
        which = f"{', '.join(map(repr, splits))} {hold} only names of splits, and {which.replace('none', 'no other')}"
    if possible and not is_known:
        which = "none has a usual name"
    elif possible:
        # One with a usual name and many values may be it as well as another with few.
        which = f"{', '.join(map(repr, dict.fromkeys([*named, *possible, *many])))} may all be it"
    raise InputError(
        f"label_column: which column of {corpus.source!r} is the label? {which}; it has {described(contents)}; "
        + (
            how_to_give_labels(possible, others, contents, corpus)
            if likely is None
            else as_labelled_or_usual(likely, all(map(str.isdecimal, contents)))
        )
    )


def may_be_called(name: str, likely: Columns | None) -> bool:
    """Whether the label of test texts may have this usual name: not one of topics, if that of the labelled texts has
    none, or the reverse.

    Args:
        name: of a column.
        likely: the columns of the labelled texts, if these are others.

    >>> stars, topic = Columns("text", "stars", None), Columns("text", "topic", None)
    >>> [may_be_called(name, stars) for name in ("rating", "category")]
    [True, False]
    >>> [may_be_called(name, topic) for name in ("rating", "category", "label")]
    [False, True, True]
    """
    if likely is None or likely.label is None or likely.label.isdecimal():
        return True
    return plain(name) in SURE_LABEL_NAMES or (plain(name) in TOPIC_NAMES) == (plain(likely.label) in TOPIC_NAMES)


def as_labelled_or_usual(likely: Columns, has_numbers: bool) -> str:
    """What to do about the label of test texts that is not found.

    Args:
        likely: the columns of the labelled texts.
        has_numbers: whether the columns of the test texts have no names.

    >>> as_labelled_or_usual(Columns("text", "mood", None), has_numbers=False)
    "call the column 'mood', as in the labelled texts, or 'label'"
    >>> as_labelled_or_usual(Columns("1", "2", False), has_numbers=False).rpartition("; ")[2]
    'if the first row of a table is one of its texts, give `--header false`'
    """
    name = likely.label or SURE_LABEL_NAMES[0]
    told = as_labelled(name, likely)
    if name.isdecimal():
        is_told = likely.header is not False or has_numbers
        return told if is_told else f"{told}; if the first row of a table is one of its texts, give `--header false`"
    return told if plain(name) in LABEL_NAMES else f"{told}, or {SURE_LABEL_NAMES[0]!r}"


def is_split(name: str, held: Content) -> bool:
    """Whether a column tells which split a row is of, as none with a usual name of labels does.

    >>> splits = Content(values={"train", "test"})
    >>> is_split("part", splits), is_split("label", splits), is_split("part", Content(values={"train", "car"}))
    (True, False, False)
    """
    return len(held.values) > 1 and held.are_splits and plain(name) not in LABEL_NAMES


def tell_of_splits(contents: dict[str, Content], label: str) -> None:
    """Warn of a column that tells the split of each row, as all rows are read as labelled texts."""
    for name, held in contents.items():
        if name != label and is_split(name, held):
            log.warning(
                "columns: %r is not used, though it tells a split of each row (%s); give the rows to test on in a file "
                "of their own, with `--test`", name, ", ".join(sorted(held.values)),
            )  # fmt: skip


def may_be_many_classes(held: Content) -> bool:
    """Whether a column holds more values than a few that come often, too, and are no numbers, dates or addresses.

    >>> many = {f"intent {number}" for number in range(60)}
    >>> may_be_many_classes(Content(filled=600, values=many)), may_be_many_classes(Content(filled=60, values=many))
    (True, False)
    """
    return not held.may_be_classes and held.repeats(TEXTS_A_CLASS) and not held.holds_no_texts


def is_topic(name: str, held: Content) -> bool:
    """Whether a column may say what a text is about, as well as what is to be found out about it.

    >>> is_topic("Category", Content()), is_topic("target", Content(filled=9, numbers=9)), is_topic("stars", Content())
    (True, False, False)
    """
    return plain(name) in TOPIC_NAMES or (plain(name) == TARGET and not held.holds_numbers)


def may_be_judgement(name: str) -> bool:
    """Whether a column is called as one that says what is found out about a text.

    >>> may_be_judgement("Star Rating"), may_be_judgement("topic"), may_be_judgement("sub_category")
    (True, True, False)
    """
    words = plain(name)
    return words in LABEL_NAMES or words.rpartition("_")[2] in JUDGEMENTS
