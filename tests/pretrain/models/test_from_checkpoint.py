"""Going on from a checkpoint: its weights, its tokenizer, new words; and heads that equal transformers' own."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    DistilBertConfig,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    ModernBertConfig,
    RobertaConfig,
)

from configs.command_line import parse
from configs.errors import InputError
from pretrain.config import PretrainConfig
from pretrain.models.architectures import ARCHITECTURES, longest_input
from pretrain.models.builders import pretraining_model
from pretrain.models.config import EncoderConfig
from pretrain.models.from_checkpoint import add_rows
from pretrain.models.pretraining_models import MaskedLanguageModel, ReplacedTokenModel
from pretrain.objectives.registry import OBJECTIVES
from pretrain.run import run
from pretrain.run_paths import find, run_folder, tokenizer_of
from pretrain.training.metric_logger import read_metrics
from tests.helpers.pretraining import changed, small_corpus, small_run, small_tokenizer
from tokenizer import run as tokenizer_train
from tokenizer.config import TokenizerConfig
from tokenizer.vocabulary.added_words import extend
from tokenizer.vocabulary.serialization import load as load_tokenizer

SMALL = EncoderConfig(layers=1, hidden_size=32, heads=2, maximum_positions=64, dropout=0.0)


def described(kind, size, **keys: Any):
    """A tiny configuration of a relative of BERT."""
    common: dict[str, Any] = {
        "vocab_size": size,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "pad_token_id": 0,
    }
    every_layer_global: dict[str, Any] = {"global_attn_every_n_layers": 1}
    ends: dict[str, Any] = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    return {
        "bert": lambda: BertConfig(**common, intermediate_size=32, max_position_embeddings=64, **keys),
        "roberta": lambda: RobertaConfig(
            **common, intermediate_size=32, max_position_embeddings=65, bos_token_id=2, eos_token_id=3, **keys
        ),
        "distilbert": lambda: DistilBertConfig(
            vocab_size=size, dim=16, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=64, **keys
        ),
        "electra": lambda: ElectraConfig(
            **common, embedding_size=16, intermediate_size=32, max_position_embeddings=64, **keys
        ),
        "modernbert": lambda: ModernBertConfig(
            **common, **ends, intermediate_size=32, max_position_embeddings=64, **every_layer_global, **keys
        ),
    }[kind]()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("continued")


@pytest.fixture(scope="module")
def tokenizer_folder(shared):
    return small_tokenizer(shared)


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return load_tokenizer(tokenizer_folder)


def saved(model, tokenizer, folder: Path) -> str:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra", "modernbert"])
def test_scores_at_masked_positions_equal_those_of_the_whole_model(kind):
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(described(kind, 50)).eval()
    ids = torch.randint(5, 50, (3, 12))
    mask = (torch.arange(12) < torch.tensor([[12], [7], [9]])).long()
    ids = ids * mask
    positions = torch.tensor([1, 4, 13, 26])
    with torch.inference_mode():
        expected = model(input_ids=ids, attention_mask=mask).logits.flatten(0, 1)[positions]
        found = MaskedLanguageModel(model)(ids, torch.zeros_like(ids), mask, positions)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert (ARCHITECTURES[kind].vocabulary_head is not None) == (kind != "distilbert"), "one is decoded in full"


def test_the_discriminator_is_told_what_the_generator_replaced():
    torch.manual_seed(0)
    discriminator = ElectraForPreTraining(described("electra", 50))
    model = ReplacedTokenModel(discriminator, ElectraForMaskedLM(described("electra", 50)))
    assert model.generator.electra.embeddings is discriminator.electra.embeddings
    assert model.generator.generator_lm_head.weight is discriminator.electra.embeddings.word_embeddings.weight
    original = torch.randint(5, 50, (4, 16))
    masked = original.clone()
    positions = torch.tensor([1, 2, 20, 35, 60])
    masked.view(-1)[positions] = 4
    ones = torch.ones_like(original)
    scores_MV, scores_BT, replaced_BT = model(masked, original, torch.zeros_like(ones), ones, positions)
    assert scores_MV.shape == (5, 50)
    assert scores_BT.shape == replaced_BT.shape == original.shape
    untouched = torch.ones(64, dtype=torch.bool)
    untouched[positions] = False
    assert not replaced_BT.flatten()[untouched].any()
    scores_BT.sum().backward()
    assert all(parameter.grad is None for parameter in model.generator.electra.encoder.parameters()), "no way back"


def test_guesses_are_drawn_from_the_generators_distribution():
    torch.manual_seed(0)
    model = ReplacedTokenModel(
        ElectraForPreTraining(described("electra", 8)), ElectraForMaskedLM(described("electra", 8))
    )
    with torch.no_grad():
        model.vocabulary_bias.copy_(torch.tensor([-9.0, -9, -9, -9, -9, 0, 1, -9]))
    original = torch.full((2000, 3), 5)
    ones, positions = torch.ones_like(original), torch.arange(2000) * 3 + 1
    with torch.inference_mode():
        scores_MV, _, replaced_BT = model(original, original, torch.zeros_like(ones), ones, positions)
    expected = 1 - scores_MV.softmax(-1)[0, 5].item()
    assert replaced_BT[:, 1].float().mean().item() == pytest.approx(expected, abs=5 * 0.5 / 2000**0.5)


# ------------------------------------------------------------------------------------------------ init_from


def continuing(shared, checkpoint, objective="mlm", **changes):
    return small_run(shared, objective=objective, model={"init_from": checkpoint}, **changes)


def test_a_run_goes_on_where_its_checkpoint_ended(shared, tmp_path):
    first = run(small_run(shared, training={"duration": "300 steps"}, model={"dropout": 0.0}))
    config = small_run(
        shared,
        tokenizer=None,
        model={"init_from": str(first.path), "dropout": 0.0},
        optimizer={"learning_rate": 1e-4},
        training={"duration": "4 steps", "evaluations": 4},
    )
    second = run(config)
    assert second.result()["eval_mlm_loss"] < first.result()["eval_mlm_loss"] + 0.1
    assert second.result()["eval_mlm_loss"] < first.result()["eval_unigram_entropy"]
    assert tokenizer_of(config)[0] == str(first.model)
    moved = changed(config, runs=str(tmp_path), model={"init_from": str(first.model)})
    assert run_folder(moved).path.name == second.path.name, "recognised by what lies there"


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra", "modernbert"])
def test_mlm_continues_any_masked_language_model(kind, shared, tokenizer, tmp_path):
    torch.manual_seed(0)
    checkpoint = saved(AutoModelForMaskedLM.from_config(described(kind, len(tokenizer))), tokenizer, tmp_path)
    folder = run(
        continuing(shared, checkpoint, training={"duration": "60 steps", "evaluations": 6}, sequence_length=32)
    )
    measured = [row["eval_mlm_loss"] for row in read_metrics(folder.metrics) if "eval_mlm_loss" in row]
    assert measured[-1] < measured[0] - 0.1
    model, info = AutoModelForMaskedLM.from_pretrained(folder.model, output_loading_info=True)
    assert not info["missing_keys"]
    assert model.config.model_type == kind


def test_pairs_continue_a_bert_without_pair_heads_and_say_what_starts_afresh(shared, tokenizer, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="pretrain")
    torch.manual_seed(0)
    source = BertForMaskedLM(described("bert", len(tokenizer)))
    checkpoint = saved(source, tokenizer, tmp_path)
    model = pretraining_model("pair", SMALL, tokenizer, checkpoint, 0)
    torch.testing.assert_close(
        model.model.bert.embeddings.word_embeddings.weight, source.bert.embeddings.word_embeddings.weight
    )
    assert "bert.pooler.dense, cls.seq_relationship" in caplog.text
    assert "are newly initialised" in caplog.text


def test_replaced_token_detection_continues_its_own_checkpoint_with_the_generator(shared, tokenizer, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="pretrain")
    first = pretraining_model("replaced_token", SMALL, tokenizer, None, 0)
    first.save(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    second = pretraining_model("replaced_token", SMALL, tokenizer, str(tmp_path), 1)
    for (name, one), two in zip(first.named_parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, two, msg=name)
    # Another generator is another start, of which no run is finished before.
    digests = []
    for place in ("same", "other"):
        first.save(tmp_path / place)
        tokenizer.save_pretrained(tmp_path / place)
        config = small_run(shared, objective="rtd", model={"init_from": str(tmp_path / place)})
        digests.append((run_folder(config).digest, find(str(tmp_path / place), "runs")[1]))
        first.generator.electra.encoder.layer[0].output.dense.bias.data += 1
    assert digests[0][0] != digests[1][0]
    assert digests[0][1] == digests[1][1], "fine-tuning does not read it"
    assert "generator" not in caplog.text
    assert second.generator.config.hidden_dropout_prob == SMALL.dropout
    alone = saved(first.discriminator, tokenizer, tmp_path / "alone")
    third = pretraining_model("replaced_token", SMALL, tokenizer, alone, 1)
    assert "has no generator" in caplog.text
    assert third.generator.generator_lm_head.weight is third.discriminator.get_input_embeddings().weight


@pytest.mark.parametrize(
    ("objective", "kind", "message"),
    [
        ("mlm_nsp", "roberta", "is a roberta model; this objective continues bert or modernbert models"),
        ("rtd", "modernbert", "is a modernbert model; this objective continues electra models"),
        ("rtd", "bert", "is a bert model; this objective continues electra models"),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused(objective, kind, message, shared, tokenizer, tmp_path):
    checkpoint = saved(AutoModelForMaskedLM.from_config(described(kind, len(tokenizer))), tokenizer, tmp_path)
    with pytest.raises(InputError, match=message):
        run(continuing(shared, checkpoint, objective))


def test_a_checkpoint_in_half_precision_is_trained_in_full(shared, tokenizer, tmp_path):
    source = BertForPreTraining(described("bert", len(tokenizer))).to(torch.bfloat16)
    model = pretraining_model("pair", SMALL, tokenizer, saved(source, tokenizer, tmp_path), 0)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_sequence_longer_than_the_checkpoints_positions_is_refused(shared, tokenizer, tmp_path):
    checkpoint = saved(AutoModelForMaskedLM.from_config(described("roberta", len(tokenizer))), tokenizer, tmp_path)
    assert longest_input(described("roberta", 50)) == 64
    with pytest.raises(InputError, match="65 exceeds the 64 positions of the model"):
        run(continuing(shared, checkpoint, sequence_length=65))


def test_the_tokenizer_is_the_checkpoints_own_whatever_the_key_says(shared, tokenizer, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="pretrain")
    corpus = small_corpus(shared)
    other = TokenizerConfig(name="other", corpus=corpus, vocabulary_size=60, runs=str(tmp_path / "runs"))
    checkpoint = saved(BertForPreTraining(described("bert", len(tokenizer))), tokenizer, tmp_path / "model")
    for given in (None, str(tokenizer_train.run(other).path)):
        config = continuing(shared, checkpoint, tokenizer=given)
        assert tokenizer_of(config)[0] == checkpoint
    assert "does not add words to it" in caplog.text
    with pytest.raises(InputError, match="tokenizer: no such file or folder"):
        tokenizer_of(continuing(shared, checkpoint, tokenizer="runs/tokenizer/mistyped-0123"))


def test_a_checkpoint_with_a_vocabulary_file_alone_is_continued(shared, tokenizer, tmp_path):
    BertForPreTraining(described("bert", len(tokenizer))).save_pretrained(tmp_path)
    entries = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token, _ in entries), encoding="utf-8")
    folder = run(continuing(shared, str(tmp_path), "mlm_nsp", training={"duration": "2 steps"}))
    text = "the old rose meets the boat"
    assert load_tokenizer(folder.model)(text)["input_ids"] == tokenizer(text)["input_ids"]


def test_without_a_checkpoint_a_tokenizer_is_needed():
    with pytest.raises(InputError, match="tokenizer: give a tokenizer run's YAML file"):
        tokenizer_of(PretrainConfig())


def test_the_flag_of_the_command_reaches_the_config():
    config = parse(PretrainConfig, "pretrain", ["--model.init_from", "google/bert_uncased_L-2_H-128_A-2"])
    assert config.model.init_from == "google/bert_uncased_L-2_H-128_A-2"


# ------------------------------------------------------------------------------------------------ new words


def test_new_words_get_rows_that_are_the_mean_of_their_pieces(tokenizer, tokenizer_folder):
    known = load_tokenizer(tokenizer_folder)
    wider = load_tokenizer(tokenizer_folder)
    added = extend(wider, ["roseboat " * 5, "lawnanchor lawnanchor lawnanchor"], 2)
    model: Any = BertForPreTraining(described("bert", len(known)))
    with torch.no_grad():
        model.cls.predictions.bias.normal_()
    before, bias = model.get_input_embeddings().weight.detach().clone(), model.cls.predictions.bias.detach().clone()
    add_rows(model, wider, known)
    after = model.get_input_embeddings().weight
    assert after.shape[0] == len(wider) == len(known) + 2
    assert torch.equal(after[: len(known)], before)
    assert model.cls.predictions.decoder.weight is after, "still tied"
    for word in added:
        pieces = known(word, add_special_tokens=False)["input_ids"]
        assert pieces
        number = wider.convert_tokens_to_ids(word)
        torch.testing.assert_close(after[number], before[pieces].mean(0))
        torch.testing.assert_close(model.cls.predictions.bias[number], bias[pieces].mean())


@pytest.mark.parametrize("objective", ["mlm_nsp", "mlm", "rtd"])
def test_a_tokenizer_with_new_words_is_taken_and_trained(objective, shared, tokenizer, tokenizer_folder, tmp_path):
    wider = load_tokenizer(tokenizer_folder)
    extend(wider, ["gullgull " * 5], 1)
    wider.save_pretrained(tmp_path / "wider")
    first = pretraining_model(OBJECTIVES[objective].head, SMALL, tokenizer, None, 0)
    first.save(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    config = continuing(
        shared, str(tmp_path / "model"), objective, tokenizer=str(tmp_path / "wider"), training={"duration": "3 steps"}
    )
    folder = run(config)
    described_model = transformers.AutoConfig.from_pretrained(folder.model)
    assert described_model.vocab_size == len(tokenizer) + 1
    assert "gullgull" in load_tokenizer(folder.model).tokenize("a gullgull")


def test_the_empty_slots_of_a_list_of_masks_leave_cls_alone():
    # Where masks are drawn on the device, the list of their places has a fixed size and ends in zeros.
    torch.manual_seed(0)
    model = ReplacedTokenModel(
        ElectraForPreTraining(described("electra", 50)), ElectraForMaskedLM(described("electra", 50))
    )
    original = torch.randint(5, 50, (2, 8))
    original[:, 0] = 2
    ones = torch.ones_like(original)
    positions = torch.tensor([3, 9, 0, 0, 0])
    for _ in range(20):
        _, _, replaced_BT = model(original, original, torch.zeros_like(ones), ones, positions)
        assert not replaced_BT[0, 0]
