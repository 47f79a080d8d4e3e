"""A tokenizer run: train or extend, save as `transformers` loads it, audit; and finding what was made."""

import hashlib
import itertools
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.command_line import load as load_config
from configs.errors import InputError
from configs.run_folder import RunFolder
from tokenizer import corpus, quarantine, shards
from tokenizer.algorithms import train
from tokenizer.config import TokenizerConfig
from tokenizer.extend import extend
from tokenizer.quarantine import Quarantine

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")
# What a tokenizer may be saved as; older checkpoints have a vocabulary alone.
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model", "vocab.json")
AUDITED_DOCUMENTS = 2_000


def run_folder(config: TokenizerConfig) -> RunFolder:
    """Where this config's run lies, finished or not."""
    upstream = [shards.fingerprint(config.corpus)]
    if config.base is not None:
        upstream.append(find(config.base, config.runs)[1])
    return RunFolder.of("tokenizer", config, upstream)


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
    with folder.owned():
        return folder if folder.finished else _run(config, folder)


def _run(config: TokenizerConfig, folder: RunFolder) -> RunFolder:
    from tokenizer import audit

    asides: list[Quarantine] = []

    def texts() -> Iterator[str]:
        # The corpus may be read several times; every reading finds the same.
        asides.append(Quarantine(config.corpus.maximum_set_aside))
        return (document.text for document in corpus.read(config.corpus, quarantine=asides[-1]))

    folder.begin(config)
    if config.base is None:
        log.info("tokenizer: training %s into %s", config.model, folder.path)
        trained = train(config, texts)
        save(trained, config, folder.model)
    else:
        extended: Any = load(find(config.base, config.runs)[0])
        words = extend(extended, texts(), config.added_words)
        log.info("tokenizer: %d words added to %s: %s …", len(words), config.base, ", ".join(words[:10]))
        extended.save_pretrained(folder.model)
        trained = extended.backend_tokenizer
    audited = [document.text for document in itertools.islice(corpus.read(config.corpus), AUDITED_DOCUMENTS)]
    report = audit.audit(trained, folder.model, audited)
    asides[0].tell(folder.path / quarantine.FILE)
    folder.finish(report | asides[0].counts())
    log.info("%s", audit.described(report))
    return folder


def save(tokenizer: "Tokenizer", config: TokenizerConfig, folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` so that `AutoTokenizer` gives the same ids."""
    from transformers import BertTokenizer, PreTrainedTokenizerFast

    if config.model == "wordpiece" and config.normalisation == "bert":
        options: dict[str, Any] = {"do_lower_case": config.lowercase, "strip_accents": config.strip_accents}
        wrapped: Any = BertTokenizer(tokenizer_object=tokenizer, model_max_length=config.maximum_length, **options)
    else:
        # BERT's own class would put BERT's normalisation in the place of ours when it is loaded.
        wrapped = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            model_max_length=config.maximum_length,
            model_input_names=["input_ids", "token_type_ids", "attention_mask"],
            pad_token="[PAD]",
            unk_token="[UNK]",
            cls_token="[CLS]",
            sep_token="[SEP]",
            mask_token="[MASK]",
        )
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
    """A tokenizer from a local folder or the Hub, as BERT needs it.

    Raises:
        InputError: there is none, or it lacks the special tokens that BERT needs.
    """
    tokenizer = load_any(folder)
    missing = [
        name for name in ("pad_token", "cls_token", "sep_token", "mask_token") if getattr(tokenizer, name) is None
    ]
    if missing:
        raise InputError(f"tokenizer: {str(folder)!r} has no {', '.join(missing)}, which BERT needs")
    return tokenizer


def load_any(folder: str | Path) -> Any:
    """A tokenizer from a local folder or the Hub, whatever special tokens it has.

    Raises:
        InputError: there is none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"tokenizer: {str(folder)!r} cannot be loaded: {' '.join(str(error).split())}") from None


def extends(folder: str, known: str) -> bool:
    """Whether a tokenizer has every entry of a known one, under the same number."""
    entries, base = load(folder).get_vocab(), load(known).get_vocab()
    return all(entries.get(token) == number for token, number in base.items())
