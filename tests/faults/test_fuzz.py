"""Random bytes and structures; `make fuzz` takes minutes, the suite a second a reader."""

import os
import random

import pytest

from tests.faults.fuzz import TARGETS, fuzz

# Found by fuzzing, each once an uncaught error or a row that was not accounted for.
FOUND: list[tuple[str, int]] = []
TRIES = 40


@pytest.mark.parametrize("name", TARGETS)
def test_no_reader_fails_on_a_few(name, tmp_path):
    for number in range(TRIES):
        (tmp_path / str(number)).mkdir()
        TARGETS[name](random.Random(f"{name} {number}"), tmp_path / str(number))


@pytest.mark.fuzz
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", TARGETS)
def test_no_reader_fails(name, tmp_path):
    shares = {"corpora": 0.4, "configs": 0.15, "tokenizers": 0.15}
    rest = (1 - sum(shares.values())) / (len(TARGETS) - len(shares))
    seconds = float(os.environ.get("FUZZ_SECONDS", "600")) * shares.get(name, rest)
    first = int(os.environ.get("FUZZ_FIRST", "0"))
    print(f"{name}: {fuzz(name, tmp_path, seconds, first)} tries")
