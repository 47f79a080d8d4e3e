"""Quality of a tokenizer: fertility, unknown rate, round trip, and whether it loads as it was trained."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.errors import InputError
from tokenizer.vocabulary.algorithms import STRIPPED_ACCENTS

if TYPE_CHECKING:
    from tokenizers import Tokenizer


LONG_WORD_CHARACTERS = 15
HIGH_UNKNOWN_RATE = 0.01
LOW_ROUND_TRIP_RATE = 0.9
# Models that need no spaces.
WITHOUT_SPACES = ("unigram", "characters", "bpe", "bytes")


def audit(tokenizer: "Tokenizer", folder: Path, texts: Sequence[str], model: str | None = None) -> dict[str, Any]:
    """Encode `texts` with a tokenizer and with the one that `AutoTokenizer` loads from `folder`, and compare.

    Args:
        tokenizer: as it was trained.
        folder: where it was saved.
        texts: to encode.
        model: a key of `ALGORITHMS`; None if others trained it.

    Returns:
        `fertility` (tokens per whitespace word), `characters_per_token`, `unknown_rate` (share of tokens),
        `round_trip_rate` (share of texts that decode to the text as given, but for spaces, and for case and accents if
        the tokenizer drops them), `vocabulary_used` (share of entries that occur), the underlying counts, and `advice`,
        a list of sentences.

    Raises:
        InputError: the loaded tokenizer gives different ids.
    """
    from transformers import AutoTokenizer

    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    ids = [encoding.ids for encoding in encodings]
    # Whole texts are compared, also those longer than `model_max_length`; `verbose=False` silences that warning.
    loaded: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    loaded_ids = loaded(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    for text, row, loaded_row in zip(texts, ids, loaded_ids, strict=True):
        if row != list(loaded_row):
            raise InputError(f"tokenizer: {folder} gives different ids after loading, for the text {text[:80]!r}")
    tokens, words = sum(map(len, ids)), sum(len(text.split()) for text in texts)
    unknowns = sum(token == loaded.unk_token_id for row in ids for token in row)
    expected = _without_case_and_accents(tokenizer)
    round_trips = [
        _without_spaces(tokenizer.decode(row, skip_special_tokens=False)) == _without_spaces(expected(text))
        for text, row in zip(texts, ids, strict=True)
    ]
    report = {
        "vocabulary_size": tokenizer.get_vocab_size(),
        "audited_texts": len(texts),
        "tokens": tokens,
        "fertility": tokens / max(1, words),
        "characters_per_token": sum(map(len, texts)) / max(1, tokens),
        "unknown_rate": unknowns / max(1, tokens),
        "round_trip_rate": sum(round_trips) / len(round_trips),
        "vocabulary_used": len(set().union(*ids)) / tokenizer.get_vocab_size(),
        "characters_per_word": sum(len("".join(text.split())) for text in texts) / max(1, words),
    }
    return report | {"advice": advice(report, model)}


def advice(report: dict[str, Any], model: str | None = None) -> list[str]:
    """Recommendations for an audit report; empty if there is no problem, and nothing that is so already.

    >>> advice({"unknown_rate": 0.0, "round_trip_rate": 1.0, "characters_per_word": 5.1, "characters_per_token": 3.2})
    []
    """
    sentences = []
    if report["characters_per_word"] > LONG_WORD_CHARACTERS:
        sentences.append(
            "the text has no spaces between words, so tokens per word is not meaningful "
            f"({report['characters_per_token']:.2f} characters per token)"
            + ("" if model in WITHOUT_SPACES else "; use `model: unigram`, or `characters`")
        )
    if report["unknown_rate"] > HIGH_UNKNOWN_RATE:
        sentences.append(
            f"{report['unknown_rate']:.1%} of the tokens are unknown; raise `vocabulary_size` or `limit_alphabet`"
            + (", or lower `minimum_frequency`" if model == "characters" else "")
            + ("" if model in ("bpe", "bytes") else ", or use `model: bpe`, which has no unknown tokens")
        )
    elif report["round_trip_rate"] < LOW_ROUND_TRIP_RATE:
        sentences.append(
            f"{1 - report['round_trip_rate']:.1%} of the texts change in a round trip; see `strip_accents` and "
            "`normalisation`"
        )
    return sentences


def _without_case_and_accents(tokenizer: "Tokenizer") -> Callable[[str], str]:
    """A text as given, composed (NFC), without case and accents if the tokenizer drops those of Latin letters."""
    from tokenizers import Regex, normalizers

    def normalised(text: str) -> str:
        return tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text

    steps: list[Any] = [normalizers.Lowercase()] if normalised("A") == "a" else []
    if normalised("é") in ("e", "E"):
        steps += [normalizers.NFD(), normalizers.Replace(Regex(STRIPPED_ACCENTS), "")]
    return normalizers.Sequence([*steps, normalizers.NFC()]).normalize_str


def _without_spaces(text: str) -> str:
    return "".join(text.split())


def summary_line(report: dict[str, Any]) -> str:
    """A summary of the report in one line, followed by one line per recommendation."""
    return (
        f"tokenizer: {report['vocabulary_size']:,} entries, {report['vocabulary_used']:.0%} of them used; "
        f"{report['fertility']:.2f} tokens per word; {report['unknown_rate']:.3%} unknown; "
        f"{report['round_trip_rate']:.1%} of {report['audited_texts']:,} texts unchanged by a round trip"
        + "".join(f"\ntokenizer: {sentence}" for sentence in report["advice"])
    )
