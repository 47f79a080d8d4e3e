"""What a careful engineer would look at before a run: the corpus, its pairs, and what leaks; `audits.json`."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from configs.run_folder import RunFolder, write_atomically
from pretrain import nsp_health
from pretrain.config import PretrainConfig
from pretrain.duplicates import duplicates, leaked
from pretrain.folders import leakage_corpus
from pretrain.sequences import SequenceEpoch
from pretrain.store import TokenStore, prepare, store_folder

log = logging.getLogger(__name__)

FILE = "audits.json"


def leakage(
    config: PretrainConfig, store: TokenStore, place: RunFolder, tokenizer: tuple[str, str]
) -> dict[str, Any] | None:
    """The documents that are test texts; None where the config names no test split.

    Args:
        config: of the run.
        store, place: the corpus, and the folder it lies in.
        tokenizer: folder and digest.
    """
    if config.leakage.split is None:
        return None
    source = leakage_corpus(config)
    folder, digest = tokenizer
    test_place = store_folder(source, digest, config.runs)
    tests = prepare(source, folder, test_place, preparation=config.preparation)
    return leaked(store, place, tests, test_place)


def audit(
    config: PretrainConfig,
    store: TokenStore,
    leak: dict[str, Any] | None,
    training: SequenceEpoch,
    held_out: SequenceEpoch,
) -> dict[str, Any]:
    """Everything that can be said before training, in words for the log and in numbers for `audits.json`."""
    found: dict[str, Any] = {}
    if config.audited_documents:
        found["corpus"] = corpus_report(store) | duplicates(store, config.audited_documents, config.seed)
        log.info("%s", described_corpus(found["corpus"]))
        if config.objective == "mlm_nsp":
            found["nsp_health"] = nsp_health.health(training, held_out, store)
            _tell(nsp_health.described(found["nsp_health"]), nsp_health.advice(found["nsp_health"]))
    if leak is not None:
        counts = {name: len(value) if isinstance(value, list) else value for name, value in leak.items()}
        found["leakage"] = counts | {"dropped": config.leakage.drop}
        log.info("%s", described_leakage(found["leakage"]))
    return found


def with_model(file: Path, accuracy: float | None) -> None:
    """Put the trained model's next-sentence accuracy beside the probes, and say what follows."""
    if not file.is_file() or accuracy is None:
        return
    found = json.loads(file.read_text(encoding="utf-8"))
    if "nsp_health" not in found:
        return
    found["nsp_health"]["model"] = accuracy
    found["nsp_health"]["advice"] = nsp_health.advice(found["nsp_health"], accuracy)
    _tell(nsp_health.described(found["nsp_health"]), found["nsp_health"]["advice"])
    write(file, found)


def write(file: Path, found: dict[str, Any]) -> None:
    """Keep what was found."""
    write_atomically(file, json.dumps(found, indent=2) + "\n")


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


def described_corpus(found: dict[str, Any]) -> str:
    """The corpus in one line for a person."""
    return (
        f"corpus: {found['documents']:,} documents, {found['sentences']:,} sentences, {found['tokens']:,} tokens; "
        f"{found['one_sentence_share']:.1%} of the documents have one sentence; {found['exact_duplicate_share']:.2%} "
        f"repeat an earlier one exactly, {found['near_duplicate_share']:.2%} of {found['compared_documents']:,} nearly"
    )


def described_leakage(found: dict[str, Any]) -> str:
    """The leakage in one line for a person."""
    kept = "these documents are left out" if found["dropped"] else "they are trained on; `leakage.drop` leaves them out"
    if not found["near"]:
        return f"leakage: none of {found['test_texts']:,} test texts is in the corpus"
    return (
        f"leakage: {found['near_test_texts']:,} of {found['test_texts']:,} test texts are in the corpus "
        f"({found['exact_test_texts']:,} exactly, the others nearly), as {found['near']:,} documents: {kept}"
    )


def _tell(line: str, said: list[str]) -> None:
    for sentence in [line, *(f"advice: {sentence}" for sentence in said)]:
        log.info("%s", sentence)
