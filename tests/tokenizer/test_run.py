"""Training, saving, auditing and finding a tokenizer."""

import itertools
import json
import shutil
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer

from configs.errors import InputError
from tokenizer import run, run_paths
from tokenizer.config import TokenizerConfig
from tokenizer.corpus.config import CorpusConfig
from tokenizer.vocabulary import algorithms, audit, serialization

ENGLISH = ["The Café was naïve, and the film was good!", "Goodness: unaffordable cafés, films & goods."] * 3
KOREAN = ["한국어 영화는 정말 좋은 영화였다.", "영화 음악은 한국 음악이다."] * 3
GERMAN = ["Die Straße führt über Köln.", "Übermäßig schöne Bücher führen weit."] * 3
UNSEEN = ["A wholly new café text, never seen: Köln, 영화가, 中文 and 🎬.", "", "  \t ", "UPPER lower"]


@pytest.fixture
def corpus_file(tmp_path: Path):
    def write(texts: list[str]) -> str:
        file = tmp_path / "corpus.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        return str(file)

    return write


@pytest.fixture
def finished(corpus_file, tmp_path):
    """A YAML file, the folder of runs, and the run finished in it."""
    file = tmp_path / "mine.yaml"
    source = corpus_file(ENGLISH)
    file.write_text(f"name: mine\nvocabulary_size: 100\ncorpus:\n  source: {source}\n")
    config = TokenizerConfig(
        name="mine", vocabulary_size=100, corpus=CorpusConfig(source=source), runs=str(tmp_path / "runs")
    )
    return file, config.runs, run.run(config)


def trained_and_loaded(texts: list[str], folder: Path, **keys):
    config = TokenizerConfig(vocabulary_size=keys.pop("vocabulary_size", 200), **keys)
    trained = algorithms.train(config, lambda: texts)
    serialization.save(trained, config, folder)
    return trained, AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("strip_accents", [None, True, False])
@pytest.mark.parametrize("lowercase", [True, False])
def test_auto_tokenizer_gives_the_trained_ids(tmp_path, lowercase, strip_accents):
    trained, loaded = trained_and_loaded(
        ENGLISH + KOREAN + GERMAN, tmp_path, lowercase=lowercase, strip_accents=strip_accents
    )
    for text in ENGLISH + KOREAN + GERMAN + UNSEEN:
        assert loaded(text)["input_ids"] == trained.encode(text).ids
        assert loaded.tokenize(text) == trained.encode(text, add_special_tokens=False).tokens
    pair = trained.encode(ENGLISH[0], KOREAN[0])
    assert loaded(ENGLISH[0], KOREAN[0])["input_ids"] == pair.ids
    assert loaded(ENGLISH[0], KOREAN[0])["token_type_ids"] == pair.type_ids
    assert (pair.tokens[0], pair.tokens[-1], pair.type_ids[-1]) == ("[CLS]", "[SEP]", 1)


def test_uncased_tokenizer_ignores_case_and_accents(tmp_path):
    _, loaded = trained_and_loaded(ENGLISH, tmp_path)
    assert loaded("CAFÉ")["input_ids"] == loaded("cafe")["input_ids"]
    assert loaded.unk_token_id not in loaded("CAFÉ")["input_ids"]


def test_cased_tokenizer_keeps_case_and_accents(tmp_path):
    _, loaded = trained_and_loaded(ENGLISH, tmp_path, lowercase=False)
    assert loaded.convert_tokens_to_string(loaded.tokenize("The Café")) == "The Café"
    assert loaded.tokenize("The") != loaded.tokenize("the")


@pytest.mark.parametrize("texts", [KOREAN, GERMAN], ids=["Korean", "German"])
def test_accents_kept_on_purpose_survive_lowercasing(tmp_path, texts):
    trained, loaded = trained_and_loaded(texts, tmp_path, lowercase=True, strip_accents=False)
    for text in texts:
        ids = loaded(text, add_special_tokens=False)["input_ids"]
        assert "".join(loaded.decode(ids).split()) == "".join(text.lower().split())
        assert trained.token_to_id("[UNK]") not in ids


def test_syllables_of_korean_are_not_torn_where_accents_are_kept(tmp_path):
    _, loaded = trained_and_loaded(KOREAN, tmp_path, strip_accents=False)
    pieces = "".join(loaded.get_vocab())
    assert any("가" <= letter <= "힣" for letter in pieces)
    assert not any("\u1100" <= letter <= "\u11ff" for letter in pieces)


def test_special_tokens_come_first_and_the_length_is_reported(tmp_path):
    trained, loaded = trained_and_loaded(ENGLISH, tmp_path, maximum_length=64, vocabulary_size=60)
    assert [trained.id_to_token(number) for number in range(5)] == list(algorithms.SPECIAL_TOKENS)
    assert (loaded.pad_token, loaded.unk_token, loaded.cls_token) == ("[PAD]", "[UNK]", "[CLS]")
    assert (loaded.sep_token, loaded.mask_token) == ("[SEP]", "[MASK]")
    assert loaded.model_max_length == 64
    assert len(loaded) == trained.get_vocab_size() <= 60


def test_training_twice_gives_the_same_tokenizer():
    config = TokenizerConfig(vocabulary_size=200)
    one, two = (algorithms.train(config, lambda: ENGLISH + KOREAN).to_str() for _ in range(2))
    assert one == two


def test_texts_are_consumed_as_a_stream_in_batches():
    drawn = itertools.count()
    batches = algorithms._batches(f"text {next(drawn)}" for _ in itertools.repeat(None))
    assert len(next(batches)) == algorithms.TEXTS_PER_BATCH
    assert next(drawn) == algorithms.TEXTS_PER_BATCH


def test_training_consumes_a_generator_to_its_end():
    count = 2 * algorithms.TEXTS_PER_BATCH + 3
    streams = []

    def texts():
        streams.append(f"word{number % 7} last" for number in range(count))
        return streams[-1]

    trained = algorithms.train(TokenizerConfig(vocabulary_size=100), texts)
    assert [next(stream, None) for stream in streams] == [None, None]
    assert set("word0123456") <= {entry.removeprefix("##") for entry in trained.get_vocab()}
    assert "last" in trained.get_vocab()


@pytest.mark.parametrize("texts", [[], ["", "  ", "\n"]])
def test_corpus_without_words_is_refused(texts):
    with pytest.raises(InputError, match="no words to train a tokenizer on"):
        algorithms.train(TokenizerConfig(), lambda: texts)


def test_run_on_a_corpus_without_words_does_not_finish(corpus_file, tmp_path):
    config = TokenizerConfig(corpus=CorpusConfig(source=corpus_file(["\u200b\u200b"])), runs=str(tmp_path / "runs"))
    with pytest.raises(InputError, match="no words to train a tokenizer on"):
        run.run(config)
    assert not run_paths.run_folder(config).finished


def test_run_on_an_empty_corpus_leaves_no_folder(corpus_file, tmp_path):
    config = TokenizerConfig(corpus=CorpusConfig(source=corpus_file([" "])), runs=str(tmp_path / "runs"))
    with pytest.raises(InputError, match="holds no document with any text"):
        run.run(config)
    assert not (tmp_path / "runs").exists()


def test_run_leaves_a_finished_folder_that_loads(finished):
    _, runs, folder = finished
    assert folder.finished
    assert folder.path.parent == Path(runs) / "tokenizer"
    assert sorted(file.name for file in folder.path.glob("[!.]*")) == [
        "config.yaml",
        "environment.json",
        "model",
        "quarantine.jsonl",
        "result.json",
    ]
    report = folder.result()
    assert report["audited_texts"] == len(ENGLISH)
    assert report["unknown_rate"] == 0
    assert report["vocabulary_size"] == len(serialization.load(folder.model)) <= 100


def test_finished_run_is_reused(finished, tmp_path, monkeypatch):
    _, runs, folder = finished
    stamps = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    monkeypatch.setattr(run, "train", lambda *_: pytest.fail("trained again"))
    source = str(tmp_path / "corpus.jsonl")
    again = run.run(TokenizerConfig(name="mine", vocabulary_size=100, corpus=CorpusConfig(source=source), runs=runs))
    assert again == folder
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == stamps


def test_changed_corpus_or_config_gives_another_folder(corpus_file, tmp_path):
    source = corpus_file(ENGLISH)
    first = run_paths.run_folder(TokenizerConfig(corpus=CorpusConfig(source=source)))
    assert run_paths.run_folder(TokenizerConfig(corpus=CorpusConfig(source=source), lowercase=False)) != first
    corpus_file(GERMAN)
    assert run_paths.run_folder(TokenizerConfig(corpus=CorpusConfig(source=source))) != first


def hand_made() -> Tokenizer:
    words = [*algorithms.SPECIAL_TOKENS, "good", "##ness", "film"]
    made = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece(prefix="##")
    return made


def test_audit_counts_a_hand_made_text_right(tmp_path):
    serialization.save(hand_made(), TokenizerConfig(), tmp_path)
    # good · good ##ness | film [UNK]
    assert audit.audit(hand_made(), tmp_path, ["Good  goodness", "film xyz"]) == {
        "vocabulary_size": 8,
        "audited_texts": 2,
        "tokens": 5,
        "fertility": 5 / 4,
        "characters_per_token": 22 / 5,
        "unknown_rate": 1 / 5,
        "round_trip_rate": 1 / 2,
        "vocabulary_used": 4 / 8,
        "characters_per_word": 19 / 4,
        "advice": [
            "20.0% of the tokens are unknown; raise `vocabulary_size` or `limit_alphabet`, or use `model: bpe`, which "
            "has no unknown tokens"
        ],
    }


@pytest.mark.parametrize(("normalisation", "rate"), [("by_script", 1.0), ("bert", 0.5)])
def test_the_round_trip_is_held_against_the_text_as_given(tmp_path, normalisation, rate):
    # Once, it was compared with the normalised text, and vowel marks that BERT's normalisation drops were not missed.
    texts = ["Der Café-Besuch war SCHÖN.", "यह फिल्म बहुत अच्छी थी।"]
    config = TokenizerConfig(normalisation=normalisation, minimum_frequency=1)
    trained = algorithms.train(config, lambda: texts * 9)
    serialization.save(trained, config, tmp_path)
    assert audit.audit(trained, tmp_path, texts)["round_trip_rate"] == rate


SPACELESS = {"unknown_rate": 0.0, "round_trip_rate": 1.0, "characters_per_word": 3000.0, "characters_per_token": 1.0}


@pytest.mark.parametrize(
    ("model", "changes", "advised", "not_advised"),
    [
        ("wordpiece", {}, "use `model: unigram`, or `characters`", "limit_alphabet"),
        ("unigram", {}, "has no spaces between words", "use `model"),
        ("characters", {}, "has no spaces between words", "use `model"),
        (None, {}, "use `model: unigram`", "limit_alphabet"),
        ("characters", {"unknown_rate": 0.1}, "lower `minimum_frequency`, or use `model: bpe`", "unigram"),
        ("bytes", {"unknown_rate": 0.1}, "limit_alphabet", "model: bpe"),
    ],
)
def test_nothing_is_advised_that_is_so_already(model, changes, advised, not_advised):
    said = " ".join(audit.advice(SPACELESS | changes, model))
    assert advised in said
    assert not_advised not in said


def test_audit_compares_texts_longer_than_the_model(tmp_path):
    serialization.save(hand_made(), TokenizerConfig(maximum_length=16), tmp_path)
    assert audit.audit(hand_made(), tmp_path, ["good film " * 50])["tokens"] == 100


def test_audit_refuses_a_folder_that_gives_other_ids(tmp_path):
    other = algorithms.train(TokenizerConfig(), lambda: ENGLISH)
    serialization.save(other, TokenizerConfig(), tmp_path)
    with pytest.raises(InputError, match="gives different ids after loading, for the text 'film'") as caught:
        audit.audit(hand_made(), tmp_path, ["film"])
    assert str(tmp_path) in str(caught.value)


def test_audit_line_is_for_a_person(tmp_path):
    serialization.save(hand_made(), TokenizerConfig(), tmp_path)
    line = audit.summary_line(audit.audit(hand_made(), tmp_path, ["good goodness", "film xyz"]))
    assert line == (
        "tokenizer: 8 entries, 50% of them used; 1.25 tokens per word; 20.000% unknown; "
        "50.0% of 2 texts unchanged by a round trip\n"
        "tokenizer: 20.0% of the tokens are unknown; raise `vocabulary_size` or `limit_alphabet`, or use `model: bpe`, "
        "which has no unknown tokens"
    )


def test_find_takes_yaml_run_folder_and_model_folder(finished):
    file, runs, folder = finished
    path, digest = run_paths.find(str(file), runs)
    assert path == str(folder.model)
    assert len(digest) == 10
    assert run_paths.find(str(folder.path), "elsewhere") == (path, digest)
    assert run_paths.find(str(folder.model), "elsewhere") == (path, digest)


def test_find_tells_tokenizers_apart_by_content(finished, tmp_path):
    _, _, folder = finished
    serialization.save(algorithms.train(TokenizerConfig(), lambda: GERMAN), TokenizerConfig(), tmp_path / "other")
    assert run_paths.find(str(tmp_path / "other"), "runs")[1] != run_paths.find(str(folder.path), "runs")[1]


def test_find_refuses_a_run_that_is_not_finished(finished, tmp_path):
    file, _, _ = finished
    with pytest.raises(InputError, match=r"is not finished; run `python -m tokenizer --config .*mine\.yaml` first"):
        run_paths.find(str(file), str(tmp_path / "other runs"))


@pytest.mark.parametrize("reference", ["bert-base-uncased", "some-owner/some.model"])
def test_find_takes_a_hub_id_as_it_is(reference, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_paths.find(reference, "runs") == (reference, reference)


@pytest.mark.parametrize("reference", ["no/such/folder", "/nowhere/at-all", "../up", ""])
def test_find_refuses_a_missing_path(reference, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="tokenizer: "):
        run_paths.find(reference, "runs")


def test_find_refuses_a_missing_yaml_file(tmp_path):
    missing = tmp_path / "gone.yaml"
    with pytest.raises(InputError, match="no such file") as caught:
        run_paths.find(str(missing), "runs")
    assert str(missing) in str(caught.value)


def test_find_refuses_a_folder_without_a_tokenizer(tmp_path):
    with pytest.raises(InputError, match=r"holds no tokenizer\.json"):
        run_paths.find(str(tmp_path), "runs")


def test_load_refuses_a_folder_without_a_tokenizer(tmp_path):
    with pytest.raises(InputError, match="cannot be loaded") as caught:
        serialization.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_load_names_the_special_tokens_that_are_missing(tmp_path):
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_object=hand_made(), pad_token="[PAD]", unk_token="[UNK]").save_pretrained(
        tmp_path
    )
    with pytest.raises(InputError, match="has no cls_token, sep_token, mask_token, which BERT needs"):
        serialization.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer_config.json", '{"do_lower_case": false, "tokenizer_class": "BertTokenizer"}'),
        ("vocab.txt", "[PAD]\n[UNK]\nother\n"),
        ("added_tokens.json", '{"new": 900}'),
        ("special_tokens_map.json", '{"sep_token": "</s>"}'),
        ("merges.txt", "a b"),
    ],
)
def test_any_file_that_may_decide_the_ids_is_in_the_digest(finished, tmp_path, name, content):
    _, _, folder = finished
    copy = tmp_path / "copy"
    shutil.copytree(folder.model, copy)
    _, before = run_paths.find(str(copy), "runs")
    assert before == run_paths.find(str(folder.model), "runs")[1]
    (copy / name).write_text(content)
    assert run_paths.find(str(copy), "runs")[1] != before
    (copy / "README.md").write_text("of no account")


def test_a_hub_id_pinned_to_a_commit_is_another_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_paths.find("owner/name", "runs", "a" * 40) == ("owner/name", f"owner/name@{'a' * 40}")


def test_the_tokenizer_of_pinned_code_comes_from_the_same_commit(monkeypatch):
    asked = []

    def from_pretrained(folder, **options):
        asked.append((folder, options))
        raise OSError("enough")

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", from_pretrained)
    for commit in (None, "b" * 40):
        with pytest.raises(InputError, match="enough"):
            serialization.load("owner/name", commit)
    assert asked == [
        ("owner/name", {"trust_remote_code": False}),
        ("owner/name", {"trust_remote_code": True, "revision": "b" * 40}),
    ]


def test_a_run_found_finished_says_so(finished, capsys):
    from tokenizer import __main__ as command

    file, _, folder = finished
    sys.argv = ["tokenizer", "--config", str(file), "--runs", str(folder.path.parent.parent)]
    command.main()
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        "tokenizer: finished before, nothing is run; delete the folder to run it again", f"tokenizer: {folder.path}",
    ]  # fmt: skip
