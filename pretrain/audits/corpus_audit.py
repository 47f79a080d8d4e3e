"""What to look at before a run: the corpus, its pairs, and leaked test texts; `audits.json`."""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from configs.run_folder import RunFolder, write_atomically
from pretrain.audits import pair_health
from pretrain.audits.duplicates import duplicates, leaked
from pretrain.data.config import PreparationConfig
from pretrain.data.masked_lm_dataset import MaskedLMEpoch
from pretrain.data.store import TokenStore, prepare, store_folder
from tokenizer.corpus.config import CorpusConfig

log = logging.getLogger(__name__)

FILE = "audits.json"


class TestTexts(NamedTuple):
    """The labelled test texts that pretraining should not have seen."""

    corpus: CorpusConfig
    tokenizer_folder: str
    tokenizer_digest: str
    runs: str
    preparation: PreparationConfig


def find_leakage(store: TokenStore, store_run: RunFolder, tests: TestTexts) -> dict[str, Any]:
    """The documents of a corpus that are test texts, exactly or nearly; see `duplicates.leaked`.

    Args:
        store, store_run: the corpus, and the run folder of its token store.
        tests: what to look for.
    """
    test_run = store_folder(tests.corpus, tests.tokenizer_digest, tests.runs)
    test_store = prepare(tests.corpus, tests.tokenizer_folder, test_run, preparation=tests.preparation)
    return leaked(store, store_run, test_store, test_run)


def audit(
    store: TokenStore, documents: int, seed: int, pairs: tuple[MaskedLMEpoch, MaskedLMEpoch] | None = None
) -> dict[str, Any]:
    """What can be said before training, in words for the log and in numbers for `audits.json`.

    Args:
        store: the corpus.
        documents: how many are compared for near duplicates, at the most; 0 audits nothing.
        seed: of their choice.
        pairs: a training and a held-out epoch of next-sentence prediction; None where there is none.
    """
    report: dict[str, Any] = {}
    if documents:
        report["corpus"] = corpus_report(store) | duplicates(store, documents, seed)
        log.info("%s", corpus_line(report["corpus"]))
        if pairs is not None:
            report["nsp_health"] = pair_health.health(*pairs, store)
            _log(pair_health.described(report["nsp_health"]), pair_health.advice(report["nsp_health"]))
    return report


def leakage_report(leak: dict[str, Any], dropped: bool) -> dict[str, Any]:
    """The counts of `find_leakage` for `audits.json`, and in words for the log."""
    counts = {name: len(value) if isinstance(value, list) else value for name, value in leak.items()}
    report = counts | {"dropped": dropped}
    log.info("%s", leakage_line(report))
    return report


def add_model_accuracy(file: Path, accuracy: float | None) -> None:
    """Put the trained model's next-sentence accuracy beside the probes, and say what follows."""
    if not file.is_file() or accuracy is None:
        return
    report = json.loads(file.read_text(encoding="utf-8"))
    if "nsp_health" not in report:
        return
    report["nsp_health"]["model"] = accuracy
    report["nsp_health"]["advice"] = pair_health.advice(report["nsp_health"], accuracy)
    _log(pair_health.described(report["nsp_health"]), report["nsp_health"]["advice"])
    write(file, report)


def write(file: Path, report: dict[str, Any]) -> None:
    """Write the report."""
    write_atomically(file, json.dumps(report, indent=2) + "\n")


def corpus_report(store: TokenStore) -> dict[str, Any]:
    """Documents, sentences and tokens, and how long they are."""
    sentences, tokens = np.diff(store.document_offsets), np.diff(store.sentence_offsets)
    return {
        "documents": store.document_count,
        "sentences": len(tokens),
        "tokens": store.token_count,
        "one_sentence_documents": int((sentences == 1).sum()),
        "one_sentence_share": float((sentences == 1).mean()),
        "median_sentences_a_document": float(np.median(sentences)),
        "median_tokens_a_sentence": float(np.median(tokens)),
    }


def corpus_line(report: dict[str, Any]) -> str:
    """The corpus in one line for a person."""
    return (
        f"corpus: {report['documents']:,} documents, {report['sentences']:,} sentences, {report['tokens']:,} tokens; "
        f"{report['one_sentence_share']:.1%} of the documents have one sentence; "
        f"{report['exact_duplicate_share']:.2%} repeat an earlier one exactly, "
        f"{report['near_duplicate_share']:.2%} of {report['compared_documents']:,} nearly"
    )


def leakage_line(report: dict[str, Any]) -> str:
    """The leakage in one line for a person."""
    kept = (
        "these documents are left out" if report["dropped"] else "they are trained on; `leakage.drop` leaves them out"
    )
    if not report["near"]:
        return f"leakage: none of {report['test_texts']:,} test texts is in the corpus"
    return (
        f"leakage: {report['near_test_texts']:,} of {report['test_texts']:,} test texts are in the corpus "
        f"({report['exact_test_texts']:,} exactly, the others nearly), as {report['near']:,} documents: {kept}"
    )


def _log(line: str, advice: list[str]) -> None:
    for sentence in [line, *(f"advice: {each}" for each in advice)]:
        log.info("%s", sentence)
