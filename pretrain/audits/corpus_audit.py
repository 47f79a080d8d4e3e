"""Audit the corpus, its pairs and leaked test texts before a run; `audits.json`."""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from configs.run_folder import RunFolder, json_text, write_atomically
from pretrain.audits import pair_health
from pretrain.audits.duplicates import duplicates, leaked_documents
from pretrain.data.config import PreparationConfig
from pretrain.data.masked_lm_dataset import MaskedLMEpoch
from pretrain.data.store import TokenStore, prepare, store_folder
from tokenizer.corpus.config import CorpusConfig

log = logging.getLogger(__name__)

FILE = "audits.json"


class TestTexts(NamedTuple):
    """The labelled test texts that should not be in the pretraining corpus."""

    corpus: CorpusConfig
    tokenizer_folder: str
    tokenizer_digest: str
    runs: str
    preparation: PreparationConfig
    commit: str | None = None
    """Of a tokenizer on the Hub whose code may run."""


def find_leakage(store: TokenStore, store_run: RunFolder, tests: TestTexts) -> dict[str, Any]:
    """The documents that are exact or near duplicates of test texts; see `duplicates.leaked_documents`.

    Args:
        store, store_run: the corpus, and the run folder of its token store.
        tests: the test texts to look for.
    """
    test_run = store_folder(tests.corpus, tests.tokenizer_digest, tests.runs)
    test_store = prepare(
        tests.corpus, tests.tokenizer_folder, test_run, preparation=tests.preparation, commit=tests.commit
    )
    return leaked_documents(store, store_run, test_store, test_run)


def audit(
    store: TokenStore, documents: int, seed: int, pairs: tuple[MaskedLMEpoch, MaskedLMEpoch] | None = None
) -> dict[str, Any]:
    """Audit the corpus and the pairs; log a summary and return the report for `audits.json`.

    Args:
        store: the corpus.
        documents: maximum number of documents to compare for near duplicates; 0 skips the audit.
        seed: for sampling these documents.
        pairs: a training and a held-out epoch of next-sentence pairs; None for objectives without them.
    """
    report: dict[str, Any] = {}
    if documents:
        report["corpus"] = corpus_report(store) | duplicates(store, documents, seed)
        log.info("%s", corpus_line(report["corpus"]))
        if pairs is not None:
            report["nsp_health"] = pair_health.health(*pairs, store)
            _log(pair_health.summary_line(report["nsp_health"]), pair_health.advice(report["nsp_health"]))
    return report


def leakage_report(leak: dict[str, Any], dropped: bool) -> dict[str, Any]:
    """The counts of `find_leakage` for `audits.json`; logs a summary."""
    counts = {name: len(value) if isinstance(value, list) else value for name, value in leak.items()}
    report = counts | {"dropped": dropped}
    log.info("%s", leakage_line(report))
    return report


def add_model_accuracy(file: Path, accuracy: float | None) -> None:
    """Add the trained model's next-sentence accuracy to the report, and log and store the advice."""
    if not file.is_file() or accuracy is None:
        return
    report = json.loads(file.read_text(encoding="utf-8"))
    if "nsp_health" not in report:
        return
    report["nsp_health"]["model"] = accuracy
    report["nsp_health"]["advice"] = pair_health.advice(report["nsp_health"], accuracy)
    _log(pair_health.summary_line(report["nsp_health"]), report["nsp_health"]["advice"])
    write(file, report)


def write(file: Path, report: dict[str, Any]) -> None:
    """Write the report."""
    write_atomically(file, json_text(report, indent=2) + "\n")


def corpus_report(store: TokenStore) -> dict[str, Any]:
    """Numbers of documents, sentences and tokens, and their lengths."""
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
    """A summary of the corpus in one line."""
    return (
        f"corpus: {report['documents']:,} documents, {report['sentences']:,} sentences, {report['tokens']:,} tokens; "
        f"{report['one_sentence_share']:.1%} of the documents have one sentence; "
        f"{report['exact_duplicate_share']:.2%} are exact duplicates, "
        f"{report['near_duplicate_share']:.2%} of {report['compared_documents']:,} compared are near duplicates"
    )


def leakage_line(report: dict[str, Any]) -> str:
    """A summary of the leakage in one line."""
    action = (
        "these documents are dropped" if report["dropped"] else "they are trained on; `leakage.drop: true` drops them"
    )
    if not report["near"]:
        return f"leakage: none of {report['test_texts']:,} test texts is in the corpus"
    return (
        f"leakage: {report['near_test_texts']:,} of {report['test_texts']:,} test texts are in the corpus "
        f"({report['exact_test_texts']:,} exactly, the others nearly), as {report['near']:,} documents: {action}"
    )


def _log(line: str, advice: list[str]) -> None:
    for text in [line, *(f"advice: {sentence}" for sentence in advice)]:
        log.info("%s", text)
