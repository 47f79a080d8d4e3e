"""Documents → sentences (with sentencex)."""

from collections.abc import Iterator

from configs.errors import InputError
from tokenizer.corpus.config import CorpusConfig


def check_language(language: str) -> None:
    """Reject an invalid language code, which sentencex would silently treat as English.

    Raises:
        InputError: the code is not two or three lower-case letters.
    """
    if not (language.isascii() and language.isalpha() and language.islower() and 2 <= len(language) <= 3):
        raise InputError(f"corpus.language: {language!r} is not an ISO 639 code such as en, de, ko")


def split(text: str, corpus: CorpusConfig) -> list[str]:
    r"""Split a document into sentences of at most `maximum_sentence_characters`; a newline always ends a sentence.

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
            segments = [line] if corpus.sentence_a_line else sentencex.segment(corpus.language, line)  # ty: ignore[missing-attribute]
            for sentence in map(str.strip, segments):
                if len(sentence) > corpus.maximum_sentence_characters:
                    sentences.extend(_split_long(sentence, corpus.maximum_sentence_characters))
                elif sentence:
                    sentences.append(sentence)
    return sentences


def _split_long(sentence: str, maximum: int) -> Iterator[str]:
    while len(sentence) > maximum:
        cut = sentence.rfind(" ", 1, maximum + 1)
        cut = cut if cut > 0 else maximum
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence
