"""Random bytes and structures; `make fuzz` takes minutes, the suite forty tries a reader."""

import os

import pytest

from tests.faults.fuzz import TARGETS, fuzz

TRIES = 40


@pytest.mark.parametrize("name", TARGETS)
def test_no_reader_fails_on_a_few(name, tmp_path):
    assert fuzz(name, tmp_path, tries=TRIES) == TRIES


@pytest.mark.fuzz
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", TARGETS)
def test_no_reader_fails(name, tmp_path):
    shares = {"corpora": 0.4, "configs": 0.15, "tokenizers": 0.15}
    rest = (1 - sum(shares.values())) / (len(TARGETS) - len(shares))
    seconds = float(os.environ.get("FUZZ_SECONDS", "600")) * shares.get(name, rest)
    tries = fuzz(name, tmp_path, int(os.environ.get("FUZZ_FIRST", "0")), seconds)
    print(f"{name}: {tries} tries")
    assert tries > 0
