"""Documents → a tokenizer: WordPiece, byte-level BPE, Unigram, characters and bytes, all by `tokenizers`.

Each is deterministic: the same texts give the same vocabulary.
"""

import collections
import itertools
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from configs.errors import InputError
from tokenizer.vocabulary.config import VocabularyConfig
from tokenizer.vocabulary.word_starts import METASPACE, WORDPIECE_PREFIX

if TYPE_CHECKING:
    from tokenizers import Tokenizer


log = logging.getLogger(__name__)

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
UNKNOWN = "[UNK]"
TEXTS_PER_BATCH = 256
DECIMALS = 6
# The score difference between successive rare characters in `UnigramTrainer`.
RARE_STEP = 1e-4
WORD = re.compile(r"\w+")
# The symbol for a unit separator: visible, so that no normaliser removes it, no punctuation, and hardly ever in a text.
WORD_MARK = "\u241f"
NO_WORDS = "corpus: no words to train a tokenizer on"

# Accents of the letters that `strip_accents` strips them from.
STRIPPED_ACCENTS = r"(?<=[\p{Latin}\p{Greek}\p{Cyrillic}])\p{Mn}+"
# What BERT's cleaning removes (tokenization.py, _clean_text), but for zero-width joiners and the Mongolian vowel
# separator behind letters of scripts that spell with them.
NEEDS_JOINERS = r"(?<=[\p{L}\p{M}])(?<![\p{Latin}\p{Greek}\p{Cyrillic}\p{Han}\p{Hangul}\p{Hiragana}\p{Katakana}])"
INVISIBLE = rf"(?!{NEEDS_JOINERS}[\u200c\u200d\u180e])(?![\t\n\r])[\p{{Cc}}\p{{Cf}}\p{{Co}}\ufffd]"

Texts = Callable[[], Iterable[str]]


def train(config: VocabularyConfig, texts: Texts) -> "Tokenizer":
    """Train on a stream of texts; only word counts are held in memory.

    Args:
        config: model, sizes and normalisation.
        texts: returns a new iterable of the texts at each call.

    Raises:
        InputError: the texts contain no word.
    """
    tokenizer = ALGORITHMS[config.model](config, texts)
    vocabulary = tokenizer.get_vocab()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = bert_format(*((token, vocabulary[token]) for token in ("[CLS]", "[SEP]")))
    return tokenizer


def bert_format(first: tuple[str, int], last: tuple[str, int]) -> Any:
    """How BERT writes texts and pairs, [CLS] A [SEP] B [SEP]; `first` and `last` are the two tokens with their ids."""
    from tokenizers import processors

    return processors.TemplateProcessing(
        single=f"{first[0]} $A {last[0]}",
        pair=f"{first[0]} $A {last[0]} $B:1 {last[0]}:1",
        special_tokens=[first, last],
    )


def wordpiece(config: VocabularyConfig, texts: Texts) -> "Tokenizer":
    """WordPiece (Schuster and Nakajima 2012) as in BERT: split at spaces and punctuation, `##` marks continuations.

    The texts are read twice, first for the alphabet, which then gets ids in a fixed order. `tokenizers` assigns these
    ids in the order of a hash map and breaks ties between merges by id, so the vocabulary would vary between runs.
    """
    from tokenizers import models, trainers

    def train_vocabulary(texts: Texts, size: int, frequency: int, initial_tokens: list[str]) -> dict[str, int]:
        tokenizer = _tokenizer_with(config, models.WordPiece(unk_token=UNKNOWN))
        trainer = trainers.WordPieceTrainer(
            vocab_size=size, min_frequency=frequency, special_tokens=initial_tokens, show_progress=False
        )
        tokenizer.train_from_iterator(_batches(texts()), trainer)
        return tokenizer.get_vocab()

    def alphabet(texts: Texts) -> list[str]:
        return list(train_vocabulary(texts, len(SPECIAL_TOKENS) + 1, 1, list(SPECIAL_TOKENS)))

    letters = alphabet(texts)
    if len({letter.removeprefix(WORDPIECE_PREFIX) for letter in letters}) - len(SPECIAL_TOKENS) > config.alphabet_limit:
        texts = _with_frequent_characters(config, texts)
        letters = alphabet(texts)
    continuations = sorted(letter for letter in letters if letter.startswith(WORDPIECE_PREFIX))
    initial_tokens = [*SPECIAL_TOKENS, *continuations]
    vocabulary = train_vocabulary(texts, config.vocabulary_size, config.minimum_frequency, initial_tokens)
    return _tokenizer_with(config, models.WordPiece(_require_words(vocabulary), unk_token=UNKNOWN))


def bpe(config: VocabularyConfig, texts: Texts) -> "Tokenizer":
    """Byte-level byte-pair encoding (Radford et al. 2019); there are no unknown tokens."""
    from tokenizers import models, pre_tokenizers, trainers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    _check_size(config, len(alphabet))
    tokenizer = _tokenizer_with(config, models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary_size,
        min_frequency=config.minimum_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_batches(_require_text(texts())), trainer)
    return tokenizer


def unigram(config: VocabularyConfig, texts: Texts) -> "Tokenizer":
    """Unigram language model (Kudo 2018): the pieces that maximise the likelihood; works without spaces between words.

    `tokenizers` sums likelihoods in the order of a hash map. Rounding the scores and sorting the pieces makes the
    result deterministic. It starts from substrings that occur in several distinct words, and so misses words that
    are in no other word, such as "this"; each frequent word is therefore given once more with a mark at its end.
    """
    from tokenizers import models, trainers

    texts = _with_frequent_characters(config, texts)
    tokenizer = _tokenizer_with(config, models.Unigram())
    trainer = trainers.UnigramTrainer(
        # One more entry, for the mark, which is dropped below.
        vocab_size=config.vocabulary_size + 1,
        special_tokens=list(SPECIAL_TOKENS),
        unk_token=UNKNOWN,
        show_progress=False,
    )
    marked = [f"{word}{WORD_MARK}" for word in _frequent_words(config, texts)]
    try:
        tokenizer.train_from_iterator(_batches(itertools.chain(_require_text(texts()), marked)), trainer)
    except Exception as error:
        if "not large enough" not in str(error):
            raise
        raise InputError(
            f"vocabulary_size: {config.vocabulary_size} is too small for every character of the texts; raise it, or "
            f"keep fewer than {config.alphabet_limit} of them (limit_alphabet)"
        ) from None
    scores = json.loads(tokenizer.to_str())["model"]["vocab"]
    pieces = [(piece, round(score, DECIMALS)) for piece, score in scores if piece not in SPECIAL_TOKENS]
    _require_words(dict(scores))
    special = [(token, 0.0) for token in SPECIAL_TOKENS]
    ordered = _sort_rare_characters(sorted(pieces, key=_by_score))
    # Dropped after sorting: the rare characters' scores are one unbroken sequence only with the mark.
    ordered = [entry for entry in ordered if WORD_MARK not in entry[0]]
    return _tokenizer_with(config, models.Unigram([*special, *ordered], SPECIAL_TOKENS.index(UNKNOWN)))


def _sort_rare_characters(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Pieces by descending score, with the rare characters at the end in alphabetical order.

    `tokenizers` appends the characters that are too rare for a piece in the order of a hash map, each scored one step
    below the previous one; other pieces may have scores between them.

    >>> _sort_rare_characters([("a", -1.0), ("d", -2.0001), ("e", -2.00013), ("b", -2.0002), ("c", -2.0003)])
    [('a', -1.0), ('b', -2.0001), ('e', -2.00013), ('c', -2.0002), ('d', -2.0003)]
    """
    single = [index for index, (piece, _) in enumerate(pieces) if len(piece) == 1]
    rare: list[int] = []
    while single and len(rare) < 2:
        rare = [single.pop()]
        for index in reversed(single):
            distance = pieces[index][1] - pieces[rare[-1]][1]
            if distance > RARE_STEP + 2 * 10**-DECIMALS:
                break
            if abs(distance - RARE_STEP) < 2 * 10**-DECIMALS:
                rare.append(index)
    ordered = list(pieces)
    for index, piece in zip(sorted(rare), sorted(pieces[index][0] for index in rare), strict=True):
        ordered[index] = (piece, pieces[index][1])
    return sorted(ordered, key=_by_score)


def _by_score(piece: tuple[str, float]) -> tuple[float, str]:
    return -piece[1], piece[0]


def characters(config: VocabularyConfig, texts: Texts) -> "Tokenizer":
    """The most frequent characters, including the space."""
    from tokenizers import models

    counts = _character_counts(config, texts)
    frequent = [(-count, character) for character, count in counts.items() if count >= config.minimum_frequency]
    chosen = [character for _, character in sorted(frequent)[: config.vocabulary_size - len(SPECIAL_TOKENS) - 1]]
    entries = dict.fromkeys([*SPECIAL_TOKENS, METASPACE, *chosen])
    vocabulary = _require_words({entry: index for index, entry in enumerate(entries)})
    return _tokenizer_with(config, models.BPE(vocabulary, [], unk_token=UNKNOWN))


def single_bytes(config: VocabularyConfig, texts: Texts) -> "Tokenizer":
    """One entry per UTF-8 byte (as ByT5, Xue et al. 2022); the texts are only checked for not being empty."""
    from tokenizers import models, pre_tokenizers

    if not any(text.strip() for text in texts()):
        raise InputError(NO_WORDS)
    entries = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    return _tokenizer_with(config, models.BPE({entry: index for index, entry in enumerate(entries)}, []))


ALGORITHMS: dict[str, Callable[[VocabularyConfig, Texts], "Tokenizer"]] = {
    "wordpiece": wordpiece,
    "bpe": bpe,
    "unigram": unigram,
    "characters": characters,
    "bytes": single_bytes,
}


def _tokenizer_with(config: VocabularyConfig, model: Any) -> "Tokenizer":
    """A tokenizer with the normaliser, pre-tokenizer and decoder that belong to a model."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers

    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normaliser(config)
    if config.model == "wordpiece":
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece(prefix=WORDPIECE_PREFIX)
    elif config.model in ("bpe", "bytes"):
        # With a space before it, the first word gets the same tokens as in the middle of a text.
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Metaspace(prepend_scheme="always"), pre_tokenizers.Punctuation()]
        )
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return tokenizer


def normaliser(config: VocabularyConfig) -> Any:
    """Normalisation before tokenization: control characters, case, accents, composed letters (NFC).

    BERT drops every invisible character. `by_script` keeps joiners where spelling needs them, as in Persian, Hindi and
    Malayalam words; among Latin letters they are stray and go.
    """
    from tokenizers import Regex, normalizers

    strip = config.lowercase if config.strip_accents is None else config.strip_accents
    chinese = config.model == "wordpiece" and config.split_chinese

    def bert(strip_accents: bool, clean_text: bool) -> Any:
        return normalizers.BertNormalizer(
            lowercase=config.lowercase,
            strip_accents=strip_accents,
            clean_text=clean_text,
            handle_chinese_chars=chinese,
        )

    if config.normalisation == "bert":
        return bert(strip, clean_text=True)
    clean = [normalizers.Replace(Regex(INVISIBLE), ""), normalizers.Replace(Regex(r"\s"), " ")]
    steps = [*clean, bert(False, clean_text=False)]
    if strip:
        steps += [normalizers.NFD(), normalizers.Replace(Regex(STRIPPED_ACCENTS), "")]
    return normalizers.Sequence([*steps, normalizers.NFC()])


def _character_counts(config: VocabularyConfig, texts: Texts) -> collections.Counter[str]:
    """How often each character but the space occurs in the normalised texts."""
    text_normaliser = normaliser(config)
    counts: collections.Counter[str] = collections.Counter()
    for text in texts():
        counts.update(text_normaliser.normalize_str(text))
    counts.pop(" ", None)
    return counts


def _with_frequent_characters(config: VocabularyConfig, texts: Texts) -> Texts:
    """The texts, normalised, with a space for each character beyond the `alphabet_limit` most frequent ones."""
    counts = _character_counts(config, texts)
    by_frequency = sorted(counts, key=lambda character: (-counts[character], character))
    rare = dict.fromkeys(map(ord, by_frequency[config.alphabet_limit :]), " ")
    if not rare:
        return texts
    text_normaliser = normaliser(config)
    log.info(
        "tokenizer: the alphabet is cut to the %d most frequent of %d characters (`limit_alphabet`); the others are "
        "unknown tokens",
        config.alphabet_limit, len(counts),
    )  # fmt: skip
    return lambda: (text_normaliser.normalize_str(text).translate(rare) for text in texts())


def _frequent_words(config: VocabularyConfig, texts: Texts) -> list[str]:
    """The words that occur at least twice, the most frequent first, at most as many as the vocabulary has entries."""
    text_normaliser = normaliser(config)
    counts: collections.Counter[str] = collections.Counter()
    for text in texts():
        counts.update(WORD.findall(text_normaliser.normalize_str(text)))
    frequent = sorted((-count, word) for word, count in counts.items() if count > 1)
    return [word for _, word in frequent[: config.vocabulary_size]]


def _require_words(vocabulary: dict[str, int]) -> dict[str, int]:
    """Reject a vocabulary that holds only special tokens and the space."""
    if len(vocabulary) <= len({*SPECIAL_TOKENS, METASPACE} & set(vocabulary)):
        raise InputError(NO_WORDS)
    return vocabulary


def _check_size(config: VocabularyConfig, alphabet_size: int) -> None:
    minimum = alphabet_size + len(SPECIAL_TOKENS)
    if config.vocabulary_size < minimum:
        raise InputError(
            f"vocabulary_size: {config.vocabulary_size} is too small for {config.model}; give at least {minimum}"
        )


def _require_text(texts: Iterable[str]) -> Iterator[str]:
    """Pass the texts through; reject a stream without any visible character."""
    visible = False
    for text in texts:
        visible = visible or bool(text.strip())
        yield text
    if not visible:
        raise InputError(NO_WORDS)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    stream = iter(texts)
    while batch := list(itertools.islice(stream, TEXTS_PER_BATCH)):
        yield batch
