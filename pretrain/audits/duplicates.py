"""Documents that are there twice, and test texts that pretraining has seen (MinHash and LSH by `datasketch`).

A document is its token ids. Two are near duplicates where their sets of five-token shingles overlap by four fifths or
more (Jaccard; Lee et al. 2022, "Deduplicating training data makes language models better", section 4.2).
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
# Low enough that LSH misses hardly any document above the threshold.
PROPOSED = 0.6


def duplicates(store: TokenStore, audited: int, seed: int) -> dict[str, Any]:
    """How many documents repeat an earlier one, exactly (all are compared) or nearly (of a sample).

    Memory grows by eight bytes a document, and with `audited`.

    Returns:
        `exact_duplicates`, `exact_duplicate_share`; `compared_documents`, `near_duplicates`, `near_duplicate_share`,
        exact ones counted in.
    """
    count = store.document_count
    digests = np.fromiter((_digest(ids) for _, ids in documents(store, range(count))), dtype=np.int64, count=count)
    exact = count - len(np.unique(digests))
    sample = np.sort(permutation(count, "near duplicates", seed)[:audited])
    index, near = Index(), 0
    seen: set[int] = set()
    for number, ids in documents(store, sample):
        if (digest := _digest(ids)) in seen:
            # Compared once: a text that stands there a thousand times would be proposed a thousand times.
            near += 1
            continue
        seen.add(digest)
        found = shingles(ids)
        near += bool(index.alike(found))
        index.add(number, found)
    return {
        "exact_duplicates": exact,
        "exact_duplicate_share": exact / count,
        "compared_documents": len(sample),
        "near_duplicates": near,
        "near_duplicate_share": near / max(1, len(sample)),
    }


def leaked(store: TokenStore, place: RunFolder, tests: TokenStore, test_place: RunFolder) -> dict[str, Any]:
    """The documents that are test texts, exactly or nearly; found once, then kept beside the store.

    Only the test texts are held in memory.

    Returns:
        `test_texts`, `exact` and `near` (numbers of documents, ascending), `exact_test_texts`, `near_test_texts` (how
        many test texts have been seen; exact ones counted as near, too).
    """
    file = place.path / f"leakage-{test_place.digest}.json"
    if file.is_file():
        return json.loads(file.read_text(encoding="utf-8"))
    log.info("leakage: comparing %d documents with %d test texts", store.document_count, tests.document_count)
    index, known = Index(), {}
    for number, ids in documents(tests, range(tests.document_count)):
        known.setdefault(_digest(ids), []).append(number)
        index.add(number, shingles(ids))
    found: dict[str, Any] = {"test_texts": tests.document_count, "exact": [], "near": []}
    exact_tests: set[int] = set()
    near_tests: set[int] = set()
    for number, ids in documents(store, range(store.document_count)):
        same = known.get(_digest(ids), [])
        alike = {*same, *index.alike(shingles(ids))}
        if same:
            found["exact"].append(number)
        if alike:
            found["near"].append(number)
        exact_tests.update(same)
        near_tests.update(alike)
    found |= {"exact_test_texts": len(exact_tests), "near_test_texts": len(near_tests)}
    write_atomically(file, json.dumps(found) + "\n")
    return found


def documents(store: TokenStore, numbers: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Documents with all their ids."""
    starts = store.sentence_offsets[store.document_offsets]
    for number in numbers:
        yield int(number), store.tokens(int(starts[number]), int(starts[number + 1]))


def shingles(ids: np.ndarray) -> np.ndarray:
    """The set of five-token shingles as 32-bit hashes; one of a shorter document.

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
    """Documents, as their shingles, that can be asked which of them are near another."""

    def __init__(self) -> None:
        from datasketch import MinHashLSH

        self.proposals = MinHashLSH(threshold=PROPOSED, num_perm=HASHES)
        self.shingles: dict[int, np.ndarray] = {}

    def add(self, number: int, found: np.ndarray) -> None:
        """Keep a document."""
        self.proposals.insert(number, _signature(found))
        self.shingles[number] = found

    def alike(self, found: np.ndarray) -> list[int]:
        """The numbers of what is near: LSH proposes, the overlap itself decides."""
        proposed: list[Any] = self.proposals.query(_signature(found))
        return [number for number in proposed if overlap(self.shingles[number], found) >= THRESHOLD]


def overlap(left: np.ndarray, right: np.ndarray) -> float:
    """Jaccard's index of two sets, each without repetitions.

    >>> overlap(np.array([1, 2, 3]), np.array([2, 3, 4]))
    0.5
    """
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / (len(left) + len(right) - shared)


def _signature(found: np.ndarray) -> "MinHash":
    from datasketch import MinHash

    signature = MinHash(HASHES, seed=1, hashfunc=int)
    signature.update_batch(found.tolist())
    return signature


def _digest(ids: np.ndarray) -> int:
    content = ids.astype(np.uint32).tobytes()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)
