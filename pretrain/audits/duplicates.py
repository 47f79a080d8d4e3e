"""Duplicate documents, and test texts in the pretraining corpus (MinHash and LSH by `datasketch`).

Documents are compared by their token ids. Two are near duplicates if their sets of five-token shingles have a Jaccard
index of at least 0.8 (Lee et al. 2022, "Deduplicating training data makes language models better", section 4.2).
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.run_folder import RunFolder, write_atomically
from pretrain.data.randomness import GAMMA, MIX_1, permutation
from pretrain.data.store import TokenStore

if TYPE_CHECKING:
    from datasketch import MinHash


log = logging.getLogger(__name__)

SHINGLE = 5
HASHES = 128
THRESHOLD = 0.8
# Low enough that LSH rarely misses a document above the threshold.
LSH_THRESHOLD = 0.6


def duplicates(store: TokenStore, sample_size: int, seed: int) -> dict[str, Any]:
    """Count the documents that duplicate an earlier one: exactly (among all) or nearly (among a sample).

    Memory grows by eight bytes per document, and with `sample_size`.

    Returns:
        `exact_duplicates`, `exact_duplicate_share`; `compared_documents`, `near_duplicates`, `near_duplicate_share`,
        which includes exact ones.
    """
    count = store.document_count
    digests = np.fromiter((_digest(ids) for _, ids in documents(store, range(count))), dtype=np.int64, count=count)
    exact = count - len(np.unique(digests))
    sample = np.sort(permutation(count, "near duplicates", seed)[:sample_size])
    index, near = Index(), 0
    seen: set[int] = set()
    for number, ids in documents(store, sample):
        if (digest := _digest(ids)) in seen:
            # Each distinct text is indexed once; LSH would return every copy of a frequent one.
            near += 1
            continue
        seen.add(digest)
        hashes = shingles(ids)
        near += bool(index.near_duplicates(hashes))
        index.add(number, hashes)
    return {
        "exact_duplicates": exact,
        "exact_duplicate_share": exact / count,
        "compared_documents": len(sample),
        "near_duplicates": near,
        "near_duplicate_share": near / max(1, len(sample)),
    }


def leaked_documents(store: TokenStore, store_run: RunFolder, tests: TokenStore, test_run: RunFolder) -> dict[str, Any]:
    """The documents that are exact or near duplicates of test texts; the result is cached beside the store.

    Only the test texts are held in memory.

    Returns:
        `test_texts`, `exact` and `near` (indices of documents, ascending), `exact_test_texts`, `near_test_texts`
        (numbers of test texts in the corpus). Exact duplicates also count as near.
    """
    thresholds = hashlib.sha256(repr((SHINGLE, HASHES, THRESHOLD, LSH_THRESHOLD)).encode()).hexdigest()[:6]
    file = store_run.path / f"leakage-{test_run.digest}-{thresholds}.json"
    if file.is_file():
        return json.loads(file.read_text(encoding="utf-8"))
    log.info("leakage: comparing %d documents with %d test texts", store.document_count, tests.document_count)
    index, numbers_by_digest = Index(), {}
    for number, ids in documents(tests, range(tests.document_count)):
        numbers_by_digest.setdefault(_digest(ids), []).append(number)
        index.add(number, shingles(ids))
    report: dict[str, Any] = {"test_texts": tests.document_count, "exact": [], "near": []}
    exact_tests: set[int] = set()
    near_tests: set[int] = set()
    for number, ids in documents(store, range(store.document_count)):
        exact = numbers_by_digest.get(_digest(ids), [])
        near = {*exact, *index.near_duplicates(shingles(ids))}
        if exact:
            report["exact"].append(number)
        if near:
            report["near"].append(number)
        exact_tests.update(exact)
        near_tests.update(near)
    report |= {"exact_test_texts": len(exact_tests), "near_test_texts": len(near_tests)}
    write_atomically(file, json.dumps(report) + "\n")
    return report


def documents(store: TokenStore, numbers: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
    """The number and token ids of each document."""
    starts = store.sentence_offsets[store.document_offsets]
    for number in numbers:
        yield int(number), store.tokens(int(starts[number]), int(starts[number + 1]))


def shingles(ids: np.ndarray) -> np.ndarray:
    """The set of five-token shingles as 32-bit hashes; a shorter document has one.

    >>> len(shingles(np.arange(7))), len(shingles(np.arange(3))), len(shingles(np.zeros(50, dtype=int)))
    (3, 1, 1)
    """
    padded = np.pad(ids.astype(np.uint64) + np.uint64(1), (0, max(0, SHINGLE - len(ids))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, SHINGLE)
    with np.errstate(over="ignore"):
        hashes = np.zeros(len(windows), dtype=np.uint64)
        for column in range(SHINGLE):
            hashes = (hashes + windows[:, column]) * MIX_1 + GAMMA
            hashes ^= hashes >> np.uint64(31)
    return np.unique(hashes >> np.uint64(32))


class Index:
    """An index of documents by their shingles, for near-duplicate search."""

    def __init__(self) -> None:
        from datasketch import MinHashLSH

        self.lsh = MinHashLSH(threshold=LSH_THRESHOLD, num_perm=HASHES)
        self.shingles: dict[int, np.ndarray] = {}

    def add(self, number: int, hashes: np.ndarray) -> None:
        """Add a document."""
        self.lsh.insert(number, _signature(hashes))
        self.shingles[number] = hashes

    def near_duplicates(self, hashes: np.ndarray) -> list[int]:
        """The numbers of near duplicates: candidates by LSH, verified by their Jaccard index."""
        candidates: list[Any] = self.lsh.query(_signature(hashes))
        return [number for number in candidates if jaccard(self.shingles[number], hashes) >= THRESHOLD]


def jaccard(left: np.ndarray, right: np.ndarray) -> float:
    """The Jaccard index of two arrays of unique values.

    >>> jaccard(np.array([1, 2, 3]), np.array([2, 3, 4]))
    0.5
    """
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / (len(left) + len(right) - shared)


def _signature(hashes: np.ndarray) -> "MinHash":
    from datasketch import MinHash

    signature = MinHash(HASHES, seed=1, hashfunc=int)
    signature.update_batch(hashes.tolist())
    return signature


def _digest(ids: np.ndarray) -> int:
    content = ids.astype(np.uint32).tobytes()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)
