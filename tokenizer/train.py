"""Documents → a trained WordPiece tokenizer, saved as `transformers` loads it."""

import hashlib
import itertools
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.command_line import load as load_config
from configs.errors import InputError
from configs.run_folder import RunFolder
from tokenizer import corpus, shards
from tokenizer.config import TokenizerConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")
# What a tokenizer may be saved as; older checkpoints have a vocabulary alone.
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model", "vocab.json")
AUDITED_DOCUMENTS = 2_000
TEXTS_A_BATCH = 256


def run_folder(config: TokenizerConfig) -> RunFolder:
    """Where this config's run lies, finished or not."""
    return RunFolder.of("tokenizer", config, [shards.fingerprint(config.corpus)])


def run(config: TokenizerConfig) -> RunFolder:
    """Train on the whole corpus, save, audit; a finished run is left as it is.

    Raises:
        InputError: the corpus cannot be read, or is too small for a vocabulary.
    """
    folder = run_folder(config)
    if folder.finished:
        log.info("tokenizer: %s is finished", folder.path)
        return folder
    next(corpus.read(config.corpus))
    from tokenizer import audit

    folder.begin(config)
    log.info("tokenizer: training WordPiece, %d entries at the most, into %s", config.vocabulary_size, folder.path)
    trained = train(config, lambda: (document.text for document in corpus.read(config.corpus)))
    save(trained, config, folder.model)
    texts = [document.text for document in itertools.islice(corpus.read(config.corpus), AUDITED_DOCUMENTS)]
    report = audit.audit(trained, folder.model, texts)
    folder.finish(report)
    log.info("%s", audit.described(report))
    return folder


def train(config: TokenizerConfig, texts: Callable[[], Iterable[str]]) -> "Tokenizer":
    """Train WordPiece on a stream of texts: of the corpus, only its counted words are held in memory.

    The stream is read twice: first for the letters, so that they can be numbered in a fixed order. tokenizers numbers
    them as they fall out of a hash map, and breaks ties between merges by number: the same texts would give another
    vocabulary each time.

    Args:
        config: sizes and normalisation.
        texts: gives the texts anew at each call.

    Raises:
        InputError: the texts hold no word.
    """
    from tokenizers import models, processors, trainers

    def trained(size: int, frequency: int, first: list[str]) -> dict[str, int]:
        tokenizer = _with_model(config, models.WordPiece(unk_token="[UNK]"))
        trainer = trainers.WordPieceTrainer(
            vocab_size=size, min_frequency=frequency, special_tokens=first, show_progress=False
        )
        tokenizer.train_from_iterator(_batches(texts()), trainer)
        return tokenizer.get_vocab()

    letters = trained(len(SPECIAL_TOKENS) + 1, 1, list(SPECIAL_TOKENS))
    continuing = sorted(letter for letter in letters if letter.startswith("##"))
    vocabulary = trained(config.vocabulary_size, config.minimum_frequency, [*SPECIAL_TOKENS, *continuing])
    if len(vocabulary) <= len(SPECIAL_TOKENS):
        raise InputError("corpus: no words to train a tokenizer on")
    tokenizer = _with_model(config, models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def _with_model(config: TokenizerConfig, model: Any) -> "Tokenizer":
    """A tokenizer with BERT's normalisation and word boundaries around a model."""
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers

    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=config.lowercase, strip_accents=config.strip_accents, clean_text=True, handle_chinese_chars=True
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return tokenizer


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    stream = iter(texts)
    while batch := list(itertools.islice(stream, TEXTS_A_BATCH)):
        yield batch


def save(tokenizer: "Tokenizer", config: TokenizerConfig, folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` so that `AutoTokenizer` gives the same ids."""
    from transformers import BertTokenizer

    options: dict[str, Any] = {"do_lower_case": config.lowercase, "strip_accents": config.strip_accents}
    wrapped = BertTokenizer(tokenizer_object=tokenizer, model_max_length=config.maximum_length, **options)
    wrapped.save_pretrained(folder)


def find(reference: str, runs: str) -> tuple[str, str]:
    """What `AutoTokenizer` can load for a reference, and a digest of it.

    Args:
        reference: a tokenizer run's YAML file or folder, any folder with a `tokenizer.json`, or a Hub id.
        runs: the folder of runs in which a YAML file's run is looked for.

    Raises:
        InputError: nothing lies there, or the run is not finished.
    """
    path = Path(reference)
    if path.suffix in (".yaml", ".yml"):
        folder = run_folder(load_config(TokenizerConfig, path, {"runs": runs}))
        if not folder.finished:
            raise InputError(
                f"tokenizer: {folder.path} is not finished; run `python -m tokenizer --config {path}` first"
            )
        path = folder.path
    if path.is_dir():
        path = path / "model" if (path / "model").is_dir() else path
        for name in TOKENIZER_FILES:
            if (path / name).is_file():
                return str(path), hashlib.sha256((path / name).read_bytes()).hexdigest()[:10]
        raise InputError(f"tokenizer: {path} holds no tokenizer.json (nor a {' or '.join(TOKENIZER_FILES[1:])})")
    if not HUB_ID.fullmatch(reference):
        raise InputError(f"tokenizer: no such file or folder: {reference!r}")
    return reference, reference


def load(folder: str | Path) -> "PreTrainedTokenizerBase":
    """A tokenizer from a local folder or the Hub.

    Raises:
        InputError: there is none, or it lacks the special tokens that BERT needs.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"tokenizer: {str(folder)!r} cannot be loaded: {' '.join(str(error).split())}") from None
    missing = [
        name for name in ("pad_token", "cls_token", "sep_token", "mask_token") if getattr(tokenizer, name) is None
    ]
    if missing:
        raise InputError(f"tokenizer: {str(folder)!r} has no {', '.join(missing)}, which BERT needs")
    return tokenizer


def extends(folder: str, known: str) -> bool:
    """Whether a tokenizer has every entry of a known one, under the same number."""
    entries, base = load(folder).get_vocab(), load(known).get_vocab()
    return all(entries.get(token) == number for token, number in base.items())
