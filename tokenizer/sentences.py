"""Documents → sentences (rules by sentencex)."""

from collections.abc import Iterator

from configs.errors import InputError


def check_language(language: str) -> None:
    """Refuse a language code that sentencex would quietly treat as English.

    Raises:
        InputError: the code is not two or three lower-case letters.
    """
    if not (language.isascii() and language.isalpha() and language.islower() and 2 <= len(language) <= 3):
        raise InputError(f"corpus.language: {language!r} is no ISO 639 code such as en, de, ko")


def split(text: str, language: str, maximum_characters: int) -> list[str]:
    r"""The sentences of a document; a new line always ends one, and none is longer than `maximum_characters`.

    >>> split("It rained. We stayed\nin and read.", "en", 100)
    ['It rained.', 'We stayed', 'in and read.']
    >>> split("one two three four", "en", 9)
    ['one two', 'three', 'four']
    """
    import sentencex

    sentences = []
    for line in text.splitlines():
        if line.strip():
            for sentence in sentencex.segment(language, line):  # ty: ignore[missing-attribute]
                sentences.extend(_capped(sentence.strip(), maximum_characters))
    return sentences


def _capped(sentence: str, maximum: int) -> Iterator[str]:
    while len(sentence) > maximum:
        cut = sentence.rfind(" ", 1, maximum + 1)
        cut = cut if cut > 0 else maximum
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence
