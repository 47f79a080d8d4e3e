"""Documents → sentences (rules by sentencex)."""

from collections.abc import Iterator

from configs.errors import InputError
from tokenizer.corpus.config import CorpusConfig


def check_language(language: str) -> None:
    """Refuse a language code that sentencex would quietly treat as English.

    Raises:
        InputError: the code is not two or three lower-case letters.
    """
    if not (language.isascii() and language.isalpha() and language.islower() and 2 <= len(language) <= 3):
        raise InputError(f"corpus.language: {language!r} is no ISO 639 code such as en, de, ko")


def split(text: str, corpus: CorpusConfig) -> list[str]:
    r"""The sentences of a document, none longer than the corpus's maximum; a new line always ends one.

    >>> split("It rained. We stayed\nin and read.", CorpusConfig())
    ['It rained.', 'We stayed', 'in and read.']
    >>> split("It rained. We stayed\nin and read.", CorpusConfig(sentence_a_line=True))
    ['It rained. We stayed', 'in and read.']
    >>> split("one two three four", CorpusConfig(maximum_sentence_characters=9))
    ['one two', 'three', 'four']
    """
    import sentencex

    sentences = []
    for line in text.splitlines():
        if line.strip():
            found = [line] if corpus.sentence_a_line else sentencex.segment(corpus.language, line)  # ty: ignore[missing-attribute]
            for sentence in map(str.strip, found):
                if len(sentence) > corpus.maximum_sentence_characters:
                    sentences.extend(_capped(sentence, corpus.maximum_sentence_characters))
                elif sentence:
                    sentences.append(sentence)
    return sentences


def _capped(sentence: str, maximum: int) -> Iterator[str]:
    while len(sentence) > maximum:
        cut = sentence.rfind(" ", 1, maximum + 1)
        cut = cut if cut > 0 else maximum
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence
