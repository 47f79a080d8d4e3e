"""Sentence scores, minimal pairs, and the probe at the prompt."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, GPT2Config, GPT2LMHeadModel

from configs.errors import InputError
from pretrain import minimal_pairs
from pretrain.models import scoring
from pretrain.probe import answers
from pretrain.run import run
from tests.helpers.paths import ROOT
from tests.helpers.pretraining import small_run, small_tokenizer
from tokenizer.vocabulary.serialization import load as load_tokenizer

SENTENCES = ["the old rose meets the boat.", "bread", "the quiet train leaves the coach and the small gull."]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("scoring")


@pytest.fixture(scope="module")
def tokenizer(shared):
    return load_tokenizer(small_tokenizer(shared))


@pytest.fixture(scope="module")
def models(shared, tokenizer):
    """Folders of a masked and a causal model, none of whose weights are nearly zero."""
    torch.manual_seed(0)
    size = len(tokenizer)
    masked = BertForMaskedLM(
        BertConfig(
            vocab_size=size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            max_position_embeddings=32, initializer_range=0.5,
        )
    )  # fmt: skip
    causal = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=size, n_embd=16, n_layer=1, n_head=2, n_positions=32, initializer_range=0.5,
            bos_token_id=tokenizer.cls_token_id, eos_token_id=tokenizer.sep_token_id,
        )
    )  # fmt: skip
    folders = {}
    for name, model in (("masked", masked), ("causal", causal)):
        folders[name] = str(shared / name)
        model.save_pretrained(folders[name])
        tokenizer.save_pretrained(folders[name])
    return folders


@pytest.mark.parametrize("batch_size", [1, 7, 500])
def test_the_pseudo_log_likelihood_masks_each_token_in_turn(models, tokenizer, batch_size):
    found = scoring.sentence_scores(scoring.load(models["masked"]), SENTENCES, batch_size)
    model = BertForMaskedLM.from_pretrained(models["masked"]).eval()
    for sentence, score in zip(SENTENCES, found, strict=True):
        ids = tokenizer(sentence, return_tensors="pt")["input_ids"]
        expected = 0.0
        for position in range(1, ids.shape[1] - 1):
            hidden = ids.clone()
            hidden[0, position] = tokenizer.mask_token_id
            with torch.inference_mode():
                logits = model(input_ids=hidden).logits[0, position]
            expected += logits.log_softmax(-1)[ids[0, position]].item()
        assert score == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 500])
def test_the_log_likelihood_sums_over_tokens_given_those_before(models, tokenizer, batch_size):
    language_model = scoring.load(models["causal"])
    assert language_model.causal
    found = scoring.sentence_scores(language_model, SENTENCES, batch_size)
    model = GPT2LMHeadModel.from_pretrained(models["causal"]).eval()
    for sentence, score in zip(SENTENCES, found, strict=True):
        ids = tokenizer(sentence, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            loss = model(input_ids=ids, labels=ids).loss.item()
        assert score == pytest.approx(-loss * (ids.shape[1] - 1), abs=1e-3)


def test_half_precision_weights_are_scored_in_fp32(models, tmp_path):
    # Once, scores of a bf16 checkpoint hung on the batch, and ties were told apart by it.
    half = BertForMaskedLM.from_pretrained(models["masked"], dtype=torch.bfloat16)
    half.save_pretrained(tmp_path)
    load_tokenizer(models["masked"]).save_pretrained(tmp_path)
    language_model = scoring.load(str(tmp_path))
    assert {parameter.dtype for parameter in language_model.model.parameters()} == {torch.float32}
    one_by_one, together = (scoring.sentence_scores(language_model, SENTENCES, size) for size in (1, 500))
    np.testing.assert_allclose(one_by_one, together, atol=1e-4)


def test_a_model_that_gives_nan_is_told(models, tmp_path):
    # Once, it had an accuracy of 0.
    broken = BertForMaskedLM.from_pretrained(models["masked"])
    broken.cls.predictions.bias.data[0] = torch.nan
    broken.save_pretrained(tmp_path)
    load_tokenizer(models["masked"]).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="the model gives NaN for 'the old rose"):
        scoring.sentence_scores(scoring.load(str(tmp_path)), SENTENCES, 8)


def test_a_sentence_that_is_too_long_is_refused(models):
    with pytest.raises(InputError, match="is too long for the model, which reads 32: 'bread bread"):
        scoring.sentence_scores(scoring.load(models["masked"]), ["bread " * 60], 8)


def test_a_model_without_a_trained_head_is_refused(tokenizer, tmp_path, shared):
    folder = run(small_run(shared, objective="rtd", training={"duration": "2 steps"}))
    with pytest.raises(InputError, match=r"no trained language-model head .*its generator, in `generator/`"):
        scoring.load(str(folder.model))
    generator = scoring.load(str(folder.model / "generator"))
    assert len(generator.tokenizer) == generator.model.config.vocab_size
    with pytest.raises(InputError, match="model: no such file or folder"):
        answers(str(tmp_path / "nothing" / "here"), "the [MASK]", None, 1)


# ------------------------------------------------------------------------------------------------ minimal pairs


def write_pairs(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def pair(good, bad, uid="uid", **more):
    return {"sentence_good": good, "sentence_bad": bad, "UID": uid} | more


def test_accuracy_is_the_share_of_pairs_whose_good_sentence_is_likelier(models, tmp_path):
    language_model = scoring.load(models["masked"])
    first, second = SENTENCES[:2]
    scores = dict(zip((first, second), scoring.sentence_scores(language_model, [first, second], 8), strict=True))
    better, worse = sorted(scores, key=lambda sentence: -scores[sentence])
    rows = [
        pair(better, worse, "a", linguistics_term="x"), pair(worse, better, "a", linguistics_term="x"),
        pair(better, better, "b", linguistics_term="x"), pair(better, worse, "c", linguistics_term="y"),
    ]  # fmt: skip
    found = minimal_pairs.evaluate(models["masked"], [write_pairs(tmp_path / "a.jsonl", rows)], 8)
    assert found["scored_by"] == "pseudo-log-likelihood"
    assert {uid: part["accuracy"] for uid, part in found["paradigms"].items()} == {"a": 0.5, "b": 0.5, "c": 1.0}
    assert found["phenomena"] == {"x": 0.5, "y": 1.0}
    assert found["mean"] == pytest.approx(2 / 3)
    assert found["pairs"] == 4


def test_a_pretrained_model_prefers_what_it_has_read(shared, tmp_path):
    folder = run(small_run(shared, training={"duration": "400 steps"}, model={"dropout": 0.0}))
    good = ["The old rose meets the spade.", "The small boat follows the gull.", "The quiet oven finds the bread."]
    rows = [pair(text, " ".join(reversed(text[:-1].split())) + ".") for text in good]
    rows += [pair(text, text.replace("The ", "The the ")) for text in good]
    found = minimal_pairs.evaluate(str(folder.path), [write_pairs(tmp_path / "order.jsonl", rows)], 64)
    assert found["mean"] > 0.8


def test_the_command_prints_a_table_and_writes_the_numbers(models, tmp_path):
    files = [
        str(write_pairs(tmp_path / f"{name}.jsonl", [pair("bread", "the the the", name)])) for name in ("one", "two")
    ]
    command = [sys.executable, "-m", "pretrain.minimal_pairs", models["causal"], *files]
    command += ["--json", str(tmp_path / "out.json")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "mean over paradigms" in ended.stdout
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["scored_by"] == "log-likelihood"
    assert set(found["paradigms"]) == {"one", "two"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no minimal pairs"),
        ('{"sentence_good": "a", "UID": "x"}', r"1: `sentence_bad` is missing, empty or not a string"),
        (
            '{"sentence_good": "a", "sentence_bad": "", "UID": "x"}',
            r"1: `sentence_bad` is missing, empty or not a string",
        ),
        (
            '\n{"sentence_good": 3, "sentence_bad": "b", "UID": "x"}',
            r"2: `sentence_good` is missing, empty or not a string",
        ),
        (
            '{"sentence_good": "a", "sentence_bad": "b", "UID": "x", "linguistics_term": ["syntax"]}',
            r"1: `linguistics_term` is empty or not a string",
        ),
        ("[1]", r"1: expected a JSON object"),
    ],
)
def test_files_of_another_format_are_refused(tmp_path, content, message):
    (tmp_path / "a.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        minimal_pairs.read(tmp_path / "a.jsonl")


# ------------------------------------------------------------------------------------------------ the probe


def test_masks_are_filled_with_the_likeliest_tokens(models, tokenizer):
    found = scoring.fill(scoring.load(models["masked"]), "the [MASK] rose [MASK].", None, 3)
    ids = tokenizer("the [MASK] rose [MASK].", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        logits = BertForMaskedLM.from_pretrained(models["masked"]).eval()(input_ids=ids).logits[0]
    places = (ids[0] == tokenizer.mask_token_id).nonzero().flatten()
    assert len(found) == len(places) == 2
    for guesses, place in zip(found, places, strict=True):
        best = logits[place].softmax(-1).topk(3)
        assert [token for token, _ in guesses] == tokenizer.convert_ids_to_tokens(best.indices.tolist())
        np.testing.assert_allclose([share for _, share in guesses], best.values.numpy(), rtol=1e-5)


def test_more_tokens_than_there_are_are_all_of_them(models, tokenizer):
    (guesses,) = scoring.fill(scoring.load(models["masked"]), "the [MASK].", None, 5000)
    assert {token for token, _ in guesses} == set(tokenizer.get_vocab())


def test_the_probe_of_a_pretraining_run_fills_masks_and_judges_pairs(shared):
    folder = run(small_run(shared, training={"duration": "400 steps"}, model={"dropout": 0.0}))
    (line,) = answers(str(folder.path), "The old rose [MASK] the spade.", None, 4)
    guesses = [part.split()[0] for part in line.removeprefix("mask 1: ").split(", ")]
    assert set(guesses) & {"meets", "follows", "leaves", "finds"}
    (judged,) = answers(str(folder.path), "The old rose meets the lawn.", "The hedge finds the bloom.", 4)
    assert judged.startswith("the second text follows the first: ")
    assert judged.endswith("% (next-sentence prediction)")
    both = answers(str(folder.path), "The old [MASK] meets the lawn.", "The hedge finds the bloom.", 2)
    assert len(both) == 2


def test_the_order_of_sentences_is_asked_where_it_was_learned(shared):
    folder = run(small_run(shared, objective="mlm_sop", training={"duration": "2 steps"}))
    (line,) = answers(str(folder.path), "The old rose meets the lawn.", "The hedge finds the bloom.", 4)
    assert line.startswith("the first text comes first: ")


@pytest.mark.parametrize(
    ("which", "text", "second", "message"),
    [
        ("masked", "no gap here", None, r"the text has no \[MASK\]"),
        ("masked", "one", "two", "has no trained next-sentence head"),
        ("causal", "the [MASK]", None, "a causal language model cannot fill masks"),
        ("causal", "one", "two", "is a gpt2 model, which has no head for sentence pairs"),
    ],
)
def test_what_a_model_cannot_say_is_told(models, which, text, second, message):
    with pytest.raises(InputError, match=message):
        answers(models[which], text, second, 3)


def test_the_probability_of_following_is_that_of_class_0(models, tokenizer, tmp_path):
    torch.manual_seed(0)
    model = BertForPreTraining(BertConfig.from_pretrained(models["masked"])).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    inputs = tokenizer("the rose", "the boat", return_tensors="pt")
    with torch.inference_mode():
        expected = model(**inputs).seq_relationship_logits[0].softmax(-1)[0].item()
    assert scoring.relation(str(tmp_path), "the rose", "the boat") == ("next-sentence", pytest.approx(expected))


def test_our_language_models_are_scored_from_the_end_of_a_document_which_they_have_seen(shared, tmp_path):
    folder = run(small_run(tmp_path, objective="causal_lm", training={"duration": "1 steps"}))
    language_model = scoring.load(str(folder.model))
    tokenizer = language_model.tokenizer
    found = scoring.sentence_scores(language_model, SENTENCES, 2)
    for sentence, score in zip(SENTENCES, found, strict=True):
        ids = [tokenizer.sep_token_id, *tokenizer(sentence, add_special_tokens=False)["input_ids"]]
        with torch.inference_mode():
            logits = language_model.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = sum(float(logits[position, token]) for position, token in enumerate(ids[1:]))
        assert score == pytest.approx(expected, abs=1e-3)


def test_a_fresh_process_scores_our_language_models(tmp_path):
    folder = run(small_run(tmp_path, objective="causal_lm", training={"duration": "1 steps"}))
    program = f"from pretrain.models import scoring; print(type(scoring.load({str(folder.model)!r}).model).__name__)"
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "RecurrentForCausalLM"
