"""Texts to check an exported model with: a fixed set of many lengths, and validation texts of its run."""

import itertools
import logging

from configs.command_line import load as load_config
from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune.config import BAG_OF_WORDS, FinetuneConfig
from finetune.inference.encoding import Text
from tokenizer.corpus.synthetic_reviews import rows

log = logging.getLogger(__name__)

# So many of a run's own.
VALIDATION_TEXTS = 200
# Reviews of the built-in sample: as they are, and put together to texts of many lengths.
REVIEWS, LONG_TEXTS = 24, 8
# What trips tokenizers: nothing, one character, other scripts, joined emoji, special tokens, a line's end of Windows.
ODD = (
    "",
    "a",
    "Ünïcödé, 電影很好看。",
    "👩‍👩‍👧‍👦🏽",
    "[SEP] [CLS] [MASK]",
    "one\r\ntwo\tthree",
    "!" * 60,
    "word" * 400,
)


def fixed_texts() -> list[str]:
    """Texts of lengths from none to some thousand tokens, in an order in which neighbours differ in length.

    >>> len(fixed_texts()), len(set(fixed_texts()))
    (39, 39)
    """
    reviews = [row["text"] for row, _ in itertools.islice(rows("validation"), REVIEWS)]
    long = [" ".join(reviews[: 2 + number**2 // 2]) for number in range(1, LONG_TEXTS + 1)]
    columns = itertools.zip_longest(reviews[:: REVIEWS // LONG_TEXTS], ODD, long)
    mixed = [text for column in columns for text in column if text is not None]
    return list(dict.fromkeys([*mixed, *reviews]))


def validation_texts(run: RunFolder, count: int) -> list[Text]:
    """Up to `count` validation texts of a fine-tuning run; none if the files that it read are gone.

    Validation texts, because the check may choose between ways to quantize, and nothing is chosen on test texts.
    """
    from finetune.classification.corpora import corpora_of
    from finetune.classification.task import load_task
    from finetune.run_paths import upstream
    from pretrain.data.store import store_folder
    from tokenizer.run_paths import find as find_tokenizer
    from tokenizer.vocabulary.serialization import load as load_tokenizer

    file = run.path / "config.yaml"
    if not file.is_file():
        return []
    try:
        config = load_config(FinetuneConfig, file)
        if config.model.name == BAG_OF_WORDS:
            return []
        _, folder, _ = upstream(config)
        _, digest = find_tokenizer(folder, config.runs, config.model.trust_remote_code)
        stores = [store_folder(corpus, digest, config.runs, labelled=True) for corpus in corpora_of(config).values()]
        # Reading and tokenizing a corpus anew takes longer than an export should.
        if not all(store.finished for store in stores):
            return []
        task = load_task(config, load_tokenizer(folder, config.model.trust_remote_code), folder, config.runs)
    except (InputError, OSError) as error:
        log.info("export: the run's texts cannot be read: %s", error)
        return []
    chosen = task.validation.store.texts.take(task.validation_indices[:count])
    firsts, seconds = (chosen.column(name).to_pylist() for name in ("text", "second_text"))
    return [first if second is None else (first, second) for first, second in zip(firsts, seconds, strict=True)]
