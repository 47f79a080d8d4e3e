"""Every kind of tokenizer on every kind of text: the same again, and the same after loading."""

import collections
import itertools
import json
import re
import subprocess
import sys
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, BertConfig, BertForPreTraining, PreTrainedTokenizerFast

from configs.errors import InputError
from tests.helpers.paths import ROOT
from tokenizer.config import TokenizerConfig
from tokenizer.corpus import synthetic_reviews
from tokenizer.corpus.config import CorpusConfig
from tokenizer.run import run as run_tokenizer
from tokenizer.vocabulary import algorithms, serialization
from tokenizer.vocabulary.added_words import extend
from tokenizer.vocabulary.algorithms import ALGORITHMS, SPECIAL_TOKENS, normaliser
from tokenizer.vocabulary.audit import audit
from tokenizer.vocabulary.word_starts import continues_word

TEXTS = {
    "english": ["The café was naïve, and the film was good!", "A good film; the films were better (1984)."],
    "korean": ["한국어 영화는 정말 좋은 영화였다.", "영화 음악은 한국 음악이다.", "좋은 음악, 좋은 배우!"],
    "japanese": ["この映画はとても良かった。", "俳優がすばらしい映画だった。", "ばらの花が好きです。"],
    "chinese": ["这部电影很好。", "演员也很好,电影很长。", "我喜欢这部电影。"],
    "thai": ["หนังเรื่องนี้ดีมาก", "นักแสดงก็ดีมาก", "ฉันชอบหนังเรื่องนี้"],
    "hindi": ["यह फिल्म बहुत अच्छी थी।", "अभिनेता भी बहुत अच्छे थे।"],
}
UNSEEN = ["Köln 영화가 中文 ばん हिन्दी 🎬", "", "  ", "[MASK] me", "x" * 300, "a\u0301 e\u0301"]


def trained(model, texts, **keys: Any):
    size = keys.pop("vocabulary_size", 400)
    config = TokenizerConfig(model=model, vocabulary_size=size, minimum_frequency=1, **keys)
    return config, algorithms.train(config, lambda: iter(texts * 3))


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("model", ALGORITHMS)
def test_a_text_comes_back_as_it_was_after_normalisation(model, language, tmp_path):
    config, tokenizer = trained(model, TEXTS[language])
    serialization.save(tokenizer, config, tmp_path)
    # `audit` also compares with what `AutoTokenizer` loads.
    report = audit(tokenizer, tmp_path, TEXTS[language])
    assert report["round_trip_rate"] == 1
    assert report["unknown_rate"] == 0
    assert audit(tokenizer, tmp_path, UNSEEN)["audited_texts"] == len(UNSEEN)
    assert [tokenizer.id_to_token(number) for number in range(5)] == list(SPECIAL_TOKENS)


@pytest.mark.parametrize("model", ALGORITHMS)
@pytest.mark.parametrize("normalisation", ["by_script", "bert"])
def test_ids_are_the_same_when_loaded_from_beside_a_bert(model, normalisation, tmp_path):
    texts = [text for part in TEXTS.values() for text in part]
    config, tokenizer = trained(model, texts, normalisation=normalisation, vocabulary_size=700)
    serialization.save(tokenizer, config, tmp_path / "alone")
    encoder = BertForPreTraining(
        BertConfig(
            vocab_size=tokenizer.get_vocab_size(), hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
            intermediate_size=8,
        )
    )  # fmt: skip
    encoder.save_pretrained(tmp_path / "model")
    serialization.load(tmp_path / "alone").save_pretrained(tmp_path / "model")
    loaded: Any = AutoTokenizer.from_pretrained(tmp_path / "model")
    for text in [*texts, *UNSEEN]:
        assert (
            loaded(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text, add_special_tokens=False).ids
        )
    pair = loaded("good film", "좋은 영화")
    assert pair["token_type_ids"] == sorted(pair["token_type_ids"])
    assert set(pair["token_type_ids"]) == {0, 1}
    assert loaded.mask_token_id == tokenizer.token_to_id("[MASK]")


@pytest.mark.parametrize("model", ALGORITHMS)
def test_another_process_makes_the_same_vocabulary(model, tmp_path):
    texts = [text for part in TEXTS.values() for text in part]
    script = (
        "import json, sys\nfrom tokenizer.vocabulary import algorithms\nfrom tokenizer.config import TokenizerConfig\n"
        "texts = json.load(sys.stdin)\n"
        f"config = TokenizerConfig(model={model!r}, vocabulary_size=400, minimum_frequency=1)\n"
        "print(algorithms.train(config, lambda: iter(texts * 3)).to_str())"
    )
    _, here = trained(model, texts)
    for _ in range(2):
        there = subprocess.run(
            [sys.executable, "-c", script],
            input=json.dumps(texts),
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=True,
        ).stdout
        assert there.strip() == here.to_str()


def test_accents_leave_latin_greek_and_cyrillic_letters_alone():
    by_script, bert = (
        normaliser(TokenizerConfig(normalisation=name, split_chinese=False)) for name in ("by_script", "bert")
    )
    for text, expected in {"Café ÉTÉ": "cafe ete", "Άλφα": "αλφα", "Ёлка": "елка"}.items():
        assert by_script.normalize_str(text) == bert.normalize_str(text) == expected
    for text in ("한국", "が ばん", "हिन्दी कुल", "หนังเรื่องนี้"):
        assert by_script.normalize_str(text) == text
    assert len(bert.normalize_str("한")) == 3, "jamo"
    assert bert.normalize_str("が") == "か", "another word"


@pytest.mark.parametrize("model", ALGORITHMS)
def test_joiners_are_kept_where_words_are_spelt_with_them(model, tmp_path):
    texts = ["می\u200cروم به خانه", "കണ്\u200dമണി", "क्\u200dष"]
    config, tokenizer = trained(model, texts)
    serialization.save(tokenizer, config, tmp_path)
    assert audit(tokenizer, tmp_path, texts)["round_trip_rate"] == 1
    # Among Latin letters they are stray, as are other invisible characters anywhere.
    clean = normaliser(config).normalize_str
    assert clean("foo\u200cbar\u200b \ufeffx\u00ad\x00") == "foobar x"
    assert clean("می\u200bروم") == "میروم"
    assert clean("a\tb\u00a0c\u2003d\ne") == "a b c d e"


def test_accents_are_kept_on_purpose():
    for kept in (normaliser(TokenizerConfig(strip_accents=False)), normaliser(TokenizerConfig(lowercase=False))):
        assert kept.normalize_str("cafe\u0301 한국") == "café 한국"
    assert normaliser(TokenizerConfig(lowercase=False, strip_accents=True)).normalize_str("Café") == "Cafe"


def test_chinese_characters_are_words_of_wordpiece_unless_told_otherwise():
    _, split = trained("wordpiece", TEXTS["chinese"])
    _, whole = trained("wordpiece", TEXTS["chinese"], split_chinese=False)
    assert not any(entry.startswith("##") for entry in split.encode("这部电影").tokens)
    assert len(whole.encode("这部电影", add_special_tokens=False).ids) < 4


def test_unigram_finds_words_where_there_are_no_spaces():
    _, tokenizer = trained("unigram", TEXTS["japanese"] * 10, vocabulary_size=60)
    assert max(len(entry) for entry in tokenizer.encode("この映画はすばらしい").tokens) > 1


def test_bytes_spell_everything_with_as_many_tokens():
    _, tokenizer = trained("bytes", ["x"])
    assert tokenizer.get_vocab_size() == 256 + len(SPECIAL_TOKENS)
    assert len(tokenizer.encode("한국 🎬", add_special_tokens=False).ids) == 1 + len("한국 🎬".encode())


def test_characters_are_the_most_frequent_and_the_rest_is_unknown():
    _, tokenizer = trained("characters", ["aaab bbc"], vocabulary_size=16)
    assert tokenizer.encode("abz", add_special_tokens=False).tokens == ["\u2581", "a", "b", "[UNK]"]
    small = TokenizerConfig(model="characters", vocabulary_size=16, minimum_frequency=2)
    assert "c" not in algorithms.train(small, lambda: ["aaab bbc"]).get_vocab()


@pytest.mark.parametrize("model", ALGORITHMS)
@pytest.mark.parametrize("texts", [[], [" \n", ""]])
def test_nothing_to_train_on_is_refused(model, texts):
    with pytest.raises(InputError, match="no words to train a tokenizer on"):
        algorithms.train(TokenizerConfig(model=model), lambda: iter(texts))


def test_a_vocabulary_too_small_for_all_bytes_is_refused():
    with pytest.raises(InputError, match=r"vocabulary_size: 100 is too small for bpe; give at least 261"):
        trained("bpe", ["x"], vocabulary_size=100)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("wordpiece", {"good": False, "##ness": True, ",": False}),
        ("bpe", {"\u0120good": False, "ness": True, ",": True}),
        ("unigram", {"\u2581": False, "g": True, "o": True, "\u2581good": False}),
        ("characters", {"\u2581": False, "g": True}),
    ],
)
def test_what_continues_a_word_is_known_by_its_mark(model, expected):
    _, tokenizer = trained(model, ["good goodness, sadness and good", "kindness good"] * 9, vocabulary_size=300)
    continues = continues_word(tokenizer)
    vocabulary = tokenizer.get_vocab()
    assert len(continues) == len(vocabulary)
    for entry, value in expected.items():
        if entry in vocabulary:
            assert continues[vocabulary[entry]] == value, entry
    assert sum(entry in vocabulary for entry in expected) >= 2
    assert not continues[:5].any(), "special tokens stand alone"


# ------------------------------------------------------------------------------------------------ added words


def test_added_words_are_those_that_save_most_and_are_found_as_words_alone(tmp_path):
    config, base = trained("wordpiece", ["the film was good", "a bad film"], vocabulary_size=40)
    serialization.save(base, config, tmp_path)
    loaded = serialization.load(tmp_path)
    before = len(loaded)
    text = "Angioplasty! The angioplasty was good; stents, stents. film film film film"
    added = extend(loaded, [text] * 3, 2)
    assert added == ["angioplasty", "stents"]
    assert len(loaded) == before + 2
    assert loaded.tokenize("The ANGIOPLASTY was") == ["the", "angioplasty", "was"]
    assert "angioplasty" not in loaded.tokenize("angioplastys")
    with pytest.raises(InputError, match="nothing to add"):
        extend(loaded, ["the film"] * 3, 5)


def test_a_word_that_is_whole_behind_a_space_is_not_added_again(tmp_path):
    # As in RoBERTa: "Ġfilm" is an entry, and "film" at the beginning of a text is split.
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "</s>", "<pad>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )  # fmt: skip
    backend.train_from_iterator(["see the film", "a film", "good film of the year"] * 9, trainer)
    roberta = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    assert roberta.tokenize(" film") == ["Ġfilm"]
    assert len(roberta.tokenize("film")) > 1
    assert extend(roberta, ["the film was angioplasty"] * 5, 9) == ["angioplasty", "was"]


@pytest.mark.parametrize("model", ["wordpiece", "bpe", "unigram"])
def test_an_added_word_is_one_token_and_its_space_none(model, tmp_path):
    config, base = trained(model, ["the film was good and the plot too"])
    serialization.save(base, config, tmp_path)
    loaded: Any = serialization.load(tmp_path)
    before = loaded("the was good", add_special_tokens=False)["input_ids"]
    extend(loaded, ["stents " * 3], 1)
    loaded.save_pretrained(tmp_path / "wider")
    for tokenizer in (loaded, serialization.load(tmp_path / "wider")):
        with_word = tokenizer("the stents was good", add_special_tokens=False)["input_ids"]
        assert len(with_word) == len(before) + 1
        assert [number for number in with_word if number != tokenizer.convert_tokens_to_ids("stents")] == before


def test_a_run_adds_words_to_a_tokenizer_that_exists_and_is_found_again(tmp_path):
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"text": "stent angioplasty stent"}) + "\n" * 2, encoding="utf-8")
    (tmp_path / "domain.jsonl").write_text((json.dumps({"text": "Catheters and stents. Catheters."}) + "\n") * 4)
    base = run_tokenizer(
        TokenizerConfig(
            vocabulary_size=50, minimum_frequency=1, corpus=CorpusConfig(source=str(tmp_path / "corpus.jsonl")),
            runs=str(tmp_path),
        )
    )  # fmt: skip
    config = TokenizerConfig(
        base=str(base.path),
        added_words=3,
        corpus=CorpusConfig(source=str(tmp_path / "domain.jsonl")),
        runs=str(tmp_path),
    )
    folder = run_tokenizer(config)
    assert serialization.extends(str(folder.model), str(base.model))
    assert not serialization.extends(str(base.model), str(folder.model))
    assert "catheters" in serialization.load(folder.model).tokenize("The catheters")
    assert run_tokenizer(config).path == folder.path
    assert folder.result()["audited_texts"] == 4


def test_unigram_cuts_no_more_frequent_words_than_the_library_alone():
    texts = [row["text"] for row, _ in itertools.islice(synthetic_reviews.rows("unlabelled"), 400)]
    frequent = collections.Counter(re.findall("[a-z]+", " ".join(texts).lower())).most_common(200)

    def cut(tokenizer):
        return [word for word, _ in frequent if len(tokenizer.encode(word, add_special_tokens=False).ids) > 1]

    config = TokenizerConfig(model="unigram", vocabulary_size=400)
    bare = Tokenizer(models.Unigram())
    bare.normalizer = normaliser(config)
    bare.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(vocab_size=400, unk_token="[UNK]", special_tokens=["[UNK]"], show_progress=False)
    bare.train_from_iterator(texts, trainer)
    ours = algorithms.train(config, lambda: iter(texts))
    assert len(cut(ours)) <= len(cut(bare))
    assert ours.encode("this", add_special_tokens=False).tokens == ["\u2581this"]
    assert algorithms.WORD_MARK not in "".join(ours.get_vocab())


def korean_texts(syllables, count):
    """Made-up texts of frequent words, and each of many syllables once."""
    words = ["영화", "정말", "좋은", "배우", "음악"]
    rare = [chr(0xAC00 + number) for number in range(syllables)]
    return [" ".join(words * 3 + rare[number::count]) for number in range(count)]


@pytest.mark.parametrize("model", ["wordpiece", "unigram"])
def test_a_large_alphabet_leaves_room_for_words(model, caplog):
    texts = korean_texts(1500, 20)
    config = TokenizerConfig(model=model, vocabulary_size=400)
    with caplog.at_level("INFO"):
        tokenizer = algorithms.train(config, lambda: iter(texts))
    assert "the alphabet is cut to the 128 most frequent of" in caplog.text
    assert tokenizer.get_vocab_size() <= 400
    tokens = tokenizer.encode("영화 정말", add_special_tokens=False).tokens
    assert len(tokens) == 2, tokens
    wide = TokenizerConfig(model=model, vocabulary_size=400, limit_alphabet=2000)
    if model == "wordpiece":
        assert algorithms.train(wide, lambda: iter(texts)).get_vocab_size() > 1500
    else:
        with pytest.raises(InputError, match="too small for every character of the texts; raise it, or keep fewer"):
            algorithms.train(wide, lambda: iter(texts))


@pytest.mark.parametrize(
    ("size", "text", "expected"),
    [
        (300, "a b a b", "entries instead of vocabulary_size: 300; the corpus is too small for more"),
        (
            16,
            "the quick brown fox jumps over the lazy dog",
            "entries instead of vocabulary_size: 16; the alphabet alone",
        ),
    ],
)
def test_a_vocabulary_of_another_size_than_asked_for_says_so(tmp_path, caplog, size, text, expected):
    (tmp_path / "texts.txt").write_text(text)
    corpus = CorpusConfig(source=str(tmp_path / "texts.txt"))
    with caplog.at_level("INFO"):
        run_tokenizer(TokenizerConfig(corpus=corpus, vocabulary_size=size, runs=str(tmp_path / "runs")))
    assert expected in caplog.text
