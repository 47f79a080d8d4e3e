"""Documents → a vocabulary: WordPiece, byte-level BPE, Unigram, characters and bytes, all by `tokenizers`.

Each gives the same vocabulary for the same texts, however often it is run.
"""

import collections
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from configs.errors import InputError
from tokenizer.vocabulary.config import VocabularyConfig
from tokenizer.vocabulary.word_starts import METASPACE, WORDPIECE_PREFIX

if TYPE_CHECKING:
    from tokenizers import Tokenizer


SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
UNKNOWN = "[UNK]"
TEXTS_PER_BATCH = 256
DECIMALS = 6
STEP_OF_RARE = 1e-4
NO_WORDS = "corpus: no words to train a tokenizer on"

Texts = Callable[[], Iterable[str]]


def train(config: VocabularyConfig, texts: Texts) -> "Tokenizer":
    """Train on a stream of texts: of the corpus, only its counted words are held in memory.

    Args:
        config: model, sizes and normalisation.
        texts: gives the texts anew at each call.

    Raises:
        InputError: the texts hold no word.
    """
    from tokenizers import processors

    tokenizer = ALGORITHMS[config.model](config, texts)
    vocabulary = tokenizer.get_vocab()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def wordpiece(config: VocabularyConfig, texts: Texts) -> "Tokenizer":
    """WordPiece (Schuster and Nakajima 2012), as BERT's: words at spaces and punctuation, `##` for what continues one.

    The texts are read twice: first for the letters, so that they can be numbered in a fixed order. tokenizers numbers
    them as they fall out of a hash map, and breaks ties between merges by number: the same texts would give another
    vocabulary each time.
    """
    from tokenizers import models, trainers

    def trained(size: int, frequency: int, first: list[str]) -> dict[str, int]:
        tokenizer = _around(config, models.WordPiece(unk_token=UNKNOWN))
        trainer = trainers.WordPieceTrainer(
            vocab_size=size, min_frequency=frequency, special_tokens=first, show_progress=False
        )
        tokenizer.train_from_iterator(_batches(texts()), trainer)
        return tokenizer.get_vocab()

    letters = trained(len(SPECIAL_TOKENS) + 1, 1, list(SPECIAL_TOKENS))
    continuing = sorted(letter for letter in letters if letter.startswith(WORDPIECE_PREFIX))
    vocabulary = trained(config.vocabulary_size, config.minimum_frequency, [*SPECIAL_TOKENS, *continuing])
    return _around(config, models.WordPiece(_with_words(vocabulary), unk_token=UNKNOWN))


def bpe(config: VocabularyConfig, texts: Texts) -> "Tokenizer":
    """Byte-level byte-pair encoding (Radford et al. 2019): every text can be spelled, nothing is unknown."""
    from tokenizers import models, pre_tokenizers, trainers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    _require_room(config, len(alphabet))
    tokenizer = _around(config, models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary_size,
        min_frequency=config.minimum_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_batches(_some(texts())), trainer)
    return tokenizer


def unigram(config: VocabularyConfig, texts: Texts) -> "Tokenizer":
    """Unigram (Kudo 2018): the pieces that make the texts likeliest; needs no spaces between words.

    tokenizers adds up likelihoods in the order of a hash map; scores are rounded to what does not depend on it, and
    pieces put in order where it had none.
    """
    from tokenizers import models, trainers

    tokenizer = _around(config, models.Unigram())
    trainer = trainers.UnigramTrainer(
        vocab_size=config.vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS),
        unk_token=UNKNOWN,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_batches(_some(texts())), trainer)
    scored = json.loads(tokenizer.to_str())["model"]["vocab"]
    pieces = [(piece, round(score, DECIMALS)) for piece, score in scored if piece not in SPECIAL_TOKENS]
    _with_words(dict(scored))
    special = [(token, 0.0) for token in SPECIAL_TOKENS]
    ordered = _rare_in_order(sorted(pieces, key=_by_score))
    return _around(config, models.Unigram([*special, *ordered], SPECIAL_TOKENS.index(UNKNOWN)))


def _rare_in_order(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Pieces by falling score, the characters at the end in alphabetical order.

    tokenizers appends the characters too rare for a piece, each scored one step below the one before, as they fall out
    of a hash map.

    >>> _rare_in_order([("a", -1.0), ("d", -2.0001), ("b", -2.0002), ("c", -2.0003)])
    [('a', -1.0), ('b', -2.0001), ('c', -2.0002), ('d', -2.0003)]
    """
    single = [number for number, (piece, _) in enumerate(pieces) if len(piece) == 1]
    first = len(single) - 1
    while first > 0 and _is_step(pieces[single[first - 1]][1] - pieces[single[first]][1]):
        first -= 1
    rare = sorted(pieces[number][0] for number in single[first:])
    ordered = list(pieces)
    for number, piece in zip(single[first:], rare, strict=True):
        ordered[number] = (piece, pieces[number][1])
    return sorted(ordered, key=_by_score)


def _by_score(piece: tuple[str, float]) -> tuple[float, str]:
    return -piece[1], piece[0]


def _is_step(difference: float) -> bool:
    return abs(difference - STEP_OF_RARE) < 2 * 10**-DECIMALS


def characters(config: VocabularyConfig, texts: Texts) -> "Tokenizer":
    """The most frequent characters, a space among them, and nothing longer."""
    from tokenizers import models

    normaliser: Any = _around(config, models.BPE()).normalizer
    counts: collections.Counter[str] = collections.Counter()
    for text in texts():
        counts.update(normaliser.normalize_str(text))
    counts.pop(" ", None)
    frequent = [(-count, character) for character, count in counts.items() if count >= config.minimum_frequency]
    kept = [character for _, character in sorted(frequent)[: config.vocabulary_size - len(SPECIAL_TOKENS) - 1]]
    entries = dict.fromkeys([*SPECIAL_TOKENS, METASPACE, *kept])
    vocabulary = _with_words({entry: number for number, entry in enumerate(entries)})
    return _around(config, models.BPE(vocabulary, [], unk_token=UNKNOWN))


def single_bytes(config: VocabularyConfig, texts: Texts) -> "Tokenizer":
    """One entry a byte of UTF-8 (as ByT5, Xue et al. 2022); the texts are not read but for being there."""
    from tokenizers import models, pre_tokenizers

    if not any(text.strip() for text in texts()):
        raise InputError(NO_WORDS)
    entries = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    return _around(config, models.BPE({entry: number for number, entry in enumerate(entries)}, []))


ALGORITHMS: dict[str, Callable[[VocabularyConfig, Texts], "Tokenizer"]] = {
    "wordpiece": wordpiece,
    "bpe": bpe,
    "unigram": unigram,
    "characters": characters,
    "bytes": single_bytes,
}


def _around(config: VocabularyConfig, model: Any) -> "Tokenizer":
    """A tokenizer with normalisation and word boundaries around a model."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers

    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normaliser(config)
    if config.model == "wordpiece":
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece(prefix=WORDPIECE_PREFIX)
    elif config.model in ("bpe", "bytes"):
        # A space before the first word: it is the same word as in the middle of a text.
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Metaspace(prepend_scheme="always"), pre_tokenizers.Punctuation()]
        )
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return tokenizer


def normaliser(config: VocabularyConfig) -> Any:
    """What happens to a text before it is cut: control characters out, case, accents, one form of composed letters."""
    from tokenizers import Regex, normalizers

    strip = config.lowercase if config.strip_accents is None else config.strip_accents
    chinese = config.model == "wordpiece" and config.split_chinese

    def bert(strip_accents: bool) -> Any:
        return normalizers.BertNormalizer(
            lowercase=config.lowercase,
            strip_accents=strip_accents,
            clean_text=True,
            handle_chinese_chars=chinese,
        )

    if config.normalisation == "bert":
        return bert(strip)
    if not strip:
        return normalizers.Sequence([bert(False), normalizers.NFC()])
    accents = normalizers.Replace(Regex(r"(?<=[\p{Latin}\p{Greek}\p{Cyrillic}])\p{Mn}+"), "")
    return normalizers.Sequence([bert(False), normalizers.NFD(), accents, normalizers.NFC()])


def _with_words(vocabulary: dict[str, int]) -> dict[str, int]:
    """The vocabulary, refused where it holds nothing but what every one holds."""
    if len(vocabulary) <= len({*SPECIAL_TOKENS, METASPACE} & set(vocabulary)):
        raise InputError(NO_WORDS)
    return vocabulary


def _require_room(config: VocabularyConfig, alphabet: int) -> None:
    needed = alphabet + len(SPECIAL_TOKENS)
    if config.vocabulary_size < needed:
        raise InputError(f"vocabulary_size: {config.vocabulary_size} is too small for {config.model}; it has {needed}")


def _some(texts: Iterable[str]) -> Iterator[str]:
    """The texts, refused where none has a visible character."""
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
