"""A tokenizer's file, read without transformers, gives the ids that transformers gives."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from configs.errors import InputError
from finetune.classification.tokenization_head_tail import with_truncation
from finetune.inference import encoding, tokenizer_file
from tests.helpers.architectures import trained_tokenizer
from tests.helpers.small_classifiers import texts
from tokenizer.vocabulary.serialization import load as load_tokenizer

ODD = [
    "",
    "a",
    "[SEP] [MASK] is text",
    "Ünïcödé 電影 👩‍👩‍👧‍👦",
    "one\r\ntwo\tthree ",
    "word" * 400,
    " ".join(["the film"] * 200),
]


def rows(
    tokenizer: Any, pairs: Sequence[tuple[str, str | None]], windows: bool
) -> tuple[list[encoding.Row], list[int]]:
    encoded, owners = encoding.encode(tokenizer, pairs, windows)
    return encoded, owners.tolist()


@pytest.mark.parametrize("family", ["wordpiece", "bpe", "unigram", "unigram-roberta"])
@pytest.mark.parametrize("head_share", [0.0, 0.5, 1.0])
def test_ids_are_those_of_transformers(family: str, head_share: float, tmp_path: Path) -> None:
    trained_tokenizer(family, texts(), tmp_path)
    with_truncation(load_tokenizer(tmp_path), 20, head_share).save_pretrained(tmp_path)
    ours = tokenizer_file.load(tmp_path)
    assert isinstance(ours, tokenizer_file.FileTokenizer) == (head_share != 0.5)
    if head_share == 0.5:
        return
    theirs = load_tokenizer(tmp_path)
    alone = [(text, None) for text in (*ODD, *texts())]
    seconds = [(text, second) for text, second in zip(ODD, reversed(ODD), strict=True)]
    for pairs, windows in ((alone, False), (alone, True), (seconds, False)):
        assert rows(ours, pairs, windows) == rows(theirs, pairs, windows)
    assert max(len(row["input_ids"]) for row in rows(ours, alone, windows=False)[0]) == 20
    assert "token_type_ids" in rows(ours, seconds, windows=False)[0][0]
    assert ours.pad_token_id == theirs.pad_token_id


def test_a_damaged_file_is_refused_in_a_line(tmp_path: Path) -> None:
    trained_tokenizer("wordpiece", texts(), tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match=r"tokenizer: .* cannot be loaded: ") as caught:
        tokenizer_file.load(tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(InputError, match=r"cannot be loaded: .*No such file"):
        tokenizer_file.load(tmp_path)
