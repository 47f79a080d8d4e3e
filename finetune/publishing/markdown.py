"""Text of users in Markdown: names, labels and settings stay text, whatever they say."""

import re

# What begins or ends markup, a link that needs no brackets, or a formula.
MARKUP = re.compile(r"([\\`*_{}\[\]()#~|!$@:/<>&])")


def plain(text: object) -> str:
    r"""A user-chosen name or label for a span of code, where nothing is markup but what ends it, or a table's cell.

    >>> plain("`x` <script>\n# big"), plain("a|b")
    ("'x' <script> # big", 'a¦b')
    """
    return one_line(text).replace("`", "'").replace("|", "¦")


def prose(text: object) -> str:
    r"""Text of users within a sentence: markup and addresses are shown and not followed.

    >>> prose("take [x](http://x.y): *81 %*")
    'take \\[x\\]\\(http\\:\\/\\/x.y\\)\\: \\*81 %\\*'
    >>> prose("<b>&amp;")
    '&lt;b&gt;&amp;amp;'
    """
    pieces = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    text = MARKUP.sub(lambda found: pieces.get(found[1], f"\\{found[1]}"), one_line(text))
    # An address may do without its protocol.
    return re.sub(r"(?i)\bwww\.", lambda found: found[0][:-1] + "\\.", text)


def one_line(text: object) -> str:
    r"""Text without line breaks, control characters, and marks that turn the direction of writing.

    >>> one_line("a\n---\x00\u202eb"), one_line("\ud83d")
    ('a ---b', '�')
    """
    # Half an emoji cannot be written to a file.
    whole = str(text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    spaced = " ".join(whole.split())
    return "".join(character for character in spaced if character.isprintable() or character == " ")


def fenced(text: str, language: str = "") -> str:
    """A block of code whose fence no line of it can close.

    >>> fenced("a", "yaml").splitlines()
    ['```yaml', 'a', '```']
    >>> fenced("````").splitlines()
    ['`````', '````', '`````']
    """
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
