"""Documents → a tokenizer: WordPiece, byte-level BPE, Unigram, characters and bytes, all by `tokenizers`.

Each is deterministic: the same texts give the same vocabulary.
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
# The score difference between successive rare characters in `UnigramTrainer`.
RARE_STEP = 1e-4
NO_WORDS = "corpus: no words to train a tokenizer on"

Texts = Callable[[], Iterable[str]]


def train(config: VocabularyConfig, texts: Texts) -> "Tokenizer":
    """Train on a stream of texts; only word counts are held in memory.

    Args:
        config: model, sizes and normalisation.
        texts: returns a new iterable of the texts at each call.

    Raises:
        InputError: the texts contain no word.
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
    """WordPiece (Schuster and Nakajima 2012) as in BERT: split at spaces and punctuation, `##` marks continuations.

    The texts are read twice, first for the alphabet, which then gets ids in a fixed order. `tokenizers` assigns these
    ids in the order of a hash map and breaks ties between merges by id, so the vocabulary would vary between runs.
    """
    from tokenizers import models, trainers

    def train_vocabulary(size: int, frequency: int, initial_tokens: list[str]) -> dict[str, int]:
        tokenizer = _tokenizer_with(config, models.WordPiece(unk_token=UNKNOWN))
        trainer = trainers.WordPieceTrainer(
            vocab_size=size, min_frequency=frequency, special_tokens=initial_tokens, show_progress=False
        )
        tokenizer.train_from_iterator(_batches(texts()), trainer)
        return tokenizer.get_vocab()

    letters = train_vocabulary(len(SPECIAL_TOKENS) + 1, 1, list(SPECIAL_TOKENS))
    continuations = sorted(letter for letter in letters if letter.startswith(WORDPIECE_PREFIX))
    vocabulary = train_vocabulary(config.vocabulary_size, config.minimum_frequency, [*SPECIAL_TOKENS, *continuations])
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
    result deterministic.
    """
    from tokenizers import models, trainers

    tokenizer = _tokenizer_with(config, models.Unigram())
    trainer = trainers.UnigramTrainer(
        vocab_size=config.vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS),
        unk_token=UNKNOWN,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_batches(_require_text(texts())), trainer)
    scores = json.loads(tokenizer.to_str())["model"]["vocab"]
    pieces = [(piece, round(score, DECIMALS)) for piece, score in scores if piece not in SPECIAL_TOKENS]
    _require_words(dict(scores))
    special = [(token, 0.0) for token in SPECIAL_TOKENS]
    ordered = _sort_rare_characters(sorted(pieces, key=_by_score))
    return _tokenizer_with(config, models.Unigram([*special, *ordered], SPECIAL_TOKENS.index(UNKNOWN)))


def _sort_rare_characters(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Pieces by descending score, with the rare characters at the end in alphabetical order.

    `tokenizers` appends the characters that are too rare for a piece in the order of a hash map, each scored one step
    below the previous one.

    >>> _sort_rare_characters([("a", -1.0), ("d", -2.0001), ("b", -2.0002), ("c", -2.0003)])
    [('a', -1.0), ('b', -2.0001), ('c', -2.0002), ('d', -2.0003)]
    """
    single = [index for index, (piece, _) in enumerate(pieces) if len(piece) == 1]
    first = len(single) - 1
    while first > 0 and _is_rare_step(pieces[single[first - 1]][1] - pieces[single[first]][1]):
        first -= 1
    rare = sorted(pieces[index][0] for index in single[first:])
    ordered = list(pieces)
    for index, piece in zip(single[first:], rare, strict=True):
        ordered[index] = (piece, pieces[index][1])
    return sorted(ordered, key=_by_score)


def _by_score(piece: tuple[str, float]) -> tuple[float, str]:
    return -piece[1], piece[0]


def _is_rare_step(difference: float) -> bool:
    return abs(difference - RARE_STEP) < 2 * 10**-DECIMALS


def characters(config: VocabularyConfig, texts: Texts) -> "Tokenizer":
    """The most frequent characters, including the space."""
    from tokenizers import models

    text_normaliser: Any = _tokenizer_with(config, models.BPE()).normalizer
    counts: collections.Counter[str] = collections.Counter()
    for text in texts():
        counts.update(text_normaliser.normalize_str(text))
    counts.pop(" ", None)
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
    """Normalisation before tokenization: control characters, case, accents, composed letters (NFC)."""
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
