"""Numbers and names in the words of a report's sentences."""

from finetune.comparison.intervals import Interval
from finetune.comparison.verdict import points, rounded
from finetune.comparison.worth import Worth

# What people who do not know the models' names would call them.
PLAIN = {
    "bag-of-words": "counting words",
    "bert": "BERT",
    "bert-scratch": "BERT without pretraining",
    "frozen": "frozen BERT",
    "rnn": "a simple RNN",
    "gru": "a GRU",
    "lstm": "an LSTM",
    "birnn": "a bidirectional RNN",
    "bigru": "a bidirectional GRU",
    "bilstm": "a bidirectional LSTM",
    "lstm-attention": "an LSTM with attention",
    "bilstm-attention": "a bidirectional LSTM with attention",
    "lm-lstm": "a pretrained LSTM",
    "sa-lstm": "an LSTM pretrained as an autoencoder",
}
MINUTE, HOUR = 60, 3600
UNITS = {"seconds": "s", "minutes": "min", "hours": "h"}
ARTICLES = ("a ", "an ")
SURROGATE_PAIRS = "surrogatepass"


def plain(model: str) -> str:
    """The name of a model in words, followed by its name in the tables; a name of one's own is kept.

    >>> plain("bag-of-words"), plain("bert"), plain("ours, large")
    ('counting words (bag-of-words)', 'BERT', 'ours, large')
    """
    words = PLAIN.get(model)
    if words is None:
        return model
    return words if words.lower() == model else f"{words} ({model})"


def briefly(model: str) -> str:
    """The name of a model in words, where its name in the tables was told before.

    >>> briefly("bag-of-words"), briefly("lstm"), briefly("ours, large")
    ('counting words', 'the LSTM', 'ours, large')
    """
    words = PLAIN.get(model, model)
    for article in ARTICLES:
        if model in PLAIN and words.startswith(article):
            return f"the {words.removeprefix(article)}"
    return words


def capital(text: str) -> str:
    """A text with a capital letter at its beginning."""
    return text[:1].upper() + text[1:]


def printable(text: str) -> str:
    r"""Text that can be written as UTF-8 and shown: halves of surrogate pairs and control characters are replaced.

    >>> printable("half \ud83d, whole \ud83d\ude00, bell \x07"), printable("two\r\nlines")
    ('half \ufffd, whole 😀, bell \ufffd', 'two\nlines')
    """
    whole = text.encode("utf-16-le", SURROGATE_PAIRS).decode("utf-16-le", "replace")
    whole = whole.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        character if character.isprintable() or character in "\n\t" else _shown(character) for character in whole
    )


def _shown(character: str) -> str:
    # Spaces of other widths and joiners of letters are no printable characters for Python, yet belong to texts.
    return "\ufffd" if character < " " or "\x7f" <= character <= "\x9f" else character


def excerpt(text: str, longest: int = 420) -> str:
    """The beginning of a long text, cut between two words; empty lines are left out.

    >>> excerpt("one two three", 9), excerpt("short"), excerpt("x" * 20, 9)
    ('one two …', 'short', 'xxxxxxxxx …')
    """
    text = "\n".join(line.strip() for line in text.splitlines() if line.strip())
    if len(text) <= longest:
        return text
    beginning = text[: longest + 1]
    cut = max(beginning.rfind(space) for space in " \n\t")
    return f"{text[:cut] if cut > longest // 2 else text[:longest]} …"


def percent(share: float) -> str:
    """A share in percent, without the percent sign.

    >>> percent(0.8451)
    '84.5'
    """
    return f"{100 * share:.1f}"


def bounds(interval: Interval) -> str:
    """The ends of the interval of a share, in percent.

    >>> bounds(Interval(0.8, 0.756, 0.842))
    '[75.6, 84.2]'
    """
    return f"[{percent(interval.low)}, {percent(interval.high)}]"


def amount(difference: Interval) -> str:
    """A difference with its interval, in points.

    >>> amount(Interval(0.031, -0.012, 0.07))
    '+3.1 [-1.2, +7.0]'
    """
    return f"{points(difference.estimate)} [{points(difference.low)}, {points(difference.high)}]"


def duration(seconds: float, like: float | None = None) -> str:
    """Seconds in the unit that people would use.

    Args:
        seconds: the time.
        like: a time of about the same length whose unit is used, so that times that are compared have the same.

    >>> [duration(seconds) for seconds in (0.034, 4.26, 89, 203, 5774, 200_000)]
    ['0.03 seconds', '4.3 seconds', '89 seconds', '3.4 minutes', '1.6 hours', '56 hours']
    >>> duration(5410), duration(5410, like=5390)
    ('1.5 hours', '90 minutes')
    """
    judged = like if like and like / 2 < seconds < 2 * like else seconds
    for unit, name in ((HOUR, "hours"), (MINUTE, "minutes")):
        if judged >= 1.5 * unit:
            return f"{_two_digits(seconds / unit)} {name}"
    return f"{_two_digits(seconds)} seconds"


def short_duration(seconds: float, like: float | None = None) -> str:
    """The same for tables.

    >>> [short_duration(seconds) for seconds in (4.26, 203, 5774)]
    ['4.3 s', '3.4 min', '1.6 h']
    """
    value, unit = duration(seconds, like).split()
    return f"{value} {UNITS[unit]}"


def _two_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def p_value(value: float) -> str:
    """A p value as it is written.

    >>> p_value(0.0312), p_value(0.00002)
    ('p = 0.031', 'p < 0.001')
    """
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def listed(names: list[str]) -> str:
    """Names in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def count(number: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "seed"), count(2000, "test text")
    ('1 seed', '2,000 test texts')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def margin_of(share: float) -> str:
    """A difference that does not matter, in points.

    >>> margin_of(0.01), margin_of(0.005), margin_of(0.02)
    ('1 point', '0.5 points', '2 points')
    """
    value = f"{100 * share:g}"
    return f"{value} point{'' if value == '1' else 's'}"


def more_labels(labels: float | None, worth: Worth) -> str:
    """A number of more labels.

    >>> worth = Worth("bert", 1000, None, 2345.0, None, 4000)
    >>> more_labels(worth.low, worth), more_labels(worth.high, worth)
    ('2,300', 'beyond 3,000')
    """
    return f"beyond {worth.largest - worth.label_budget:,}" if labels is None else f"{rounded(labels):,}"
