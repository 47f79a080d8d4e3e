"""Checkpoints of many architectures go the whole way: fine-tuning on pairs, export, `pipeline`."""

import json
import logging
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from configs.command_line import load
from configs.errors import InputError
from finetune.run import run
from pretrain.config import PretrainConfig
from pretrain.models.architectures import set_dropout
from pretrain.models.builders import classifier
from pretrain.models.config import ClassifierConfig
from pretrain.models.fit import check_fit
from pretrain.models.layers import layer_numbers
from pretrain.run import run as pretrain
from pretrain.training.config import OptimizerConfig
from pretrain.training.optimizer import create_optimizer
from tests.helpers.architectures import (
    ARCHITECTURES,
    HEADS,
    LAYERS,
    SIZE,
    checkpoint,
    through_the_chain,
    trained_tokenizer,
)
from tests.helpers.finetuning import finetune_config, write_chain
from tokenizer.vocabulary import serialization

TEXTS = ["the film was good.", "the plot was bad, so the cast was dull."] * 20


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_scores_pairs_elsewhere_as_it_did_here(name, tmp_path):
    assert through_the_chain(name, tmp_path) < 1e-5


def model_of(name: str, **settings: Any) -> Any:
    config_class, _, own = ARCHITECTURES[name]
    sizes = {} if name == "distilbert" else {"hidden_size": SIZE, "num_hidden_layers": LAYERS}
    sizes |= {} if name == "distilbert" else {"num_attention_heads": HEADS, "intermediate_size": SIZE}
    config = getattr(transformers, config_class)(**{"vocab_size": 40, "pad_token_id": 0} | sizes | own | settings)
    return transformers.AutoModelForSequenceClassification.from_config(config)


OTHER_LAYERS = {
    "xlm": lambda: transformers.XLMConfig(vocab_size=40, emb_dim=16, n_layers=3, n_heads=2),
    "funnel": lambda: transformers.FunnelConfig(
        vocab_size=40, block_sizes=[2, 1], d_model=16, n_head=2, d_head=8, d_inner=16
    ),
    "gpt2": lambda: transformers.GPT2Config(vocab_size=40, n_embd=16, n_layer=3, n_head=2),
}


@pytest.mark.parametrize("name", OTHER_LAYERS)
def test_layers_of_any_name_have_rates_of_their_own(name):
    model = transformers.AutoModelForSequenceClassification.from_config(OTHER_LAYERS[name]())
    numbers = layer_numbers(model)
    assert set(numbers.values()) == {0, 1, 2}
    groups = create_optimizer(model, OptimizerConfig(layer_decay=0.5)).param_groups
    depths = {id(parameter): group["depth"] for group in groups for parameter in group["params"]}
    for module, number in numbers.items():
        found = {depths[id(parameter)] for parameter in model.get_submodule(module).parameters()}
        assert found == {2 - number}
    assert depths[id(model.get_input_embeddings().weight)] == 3


@pytest.mark.parametrize("keys", [{"layer_decay": 0.9}, {"gradual_unfreezing": True}])
def test_layers_that_share_their_weights_cannot_have_rates_of_their_own(keys):
    with pytest.raises(InputError, match="layers of this model share their weights"):
        create_optimizer(model_of("albert"), OptimizerConfig(**keys))


@pytest.mark.parametrize("name", [*ARCHITECTURES, "xlm", "funnel", "gpt2"])
def test_every_dropout_is_set_that_of_the_classifier_too(name):
    model = model_of(name) if name in ARCHITECTURES else None
    config = OTHER_LAYERS[name]() if model is None else model.config
    set_dropout(config, 0.25)
    shown = transformers.AutoModelForSequenceClassification.from_config(config)
    rates = {module.p for module in shown.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates <= {0.25}
    rates = {getattr(config, key) for key in config.to_dict() if "dropout" in key or "pdrop" in key}
    assert rates <= {0.25, None, False}, config


@pytest.mark.parametrize("name", ["distilbert", "mpnet"])
def test_the_top_layers_of_any_encoder_can_be_drawn_anew(name, tmp_path):
    folder = checkpoint(name, TEXTS, tmp_path)
    tokenizer = serialization.load(folder)
    models_of = [
        classifier(ClassifierConfig(name=folder, reinitialized_layers=count), folder, tokenizer, ["no", "yes"], 1)
        for count in (0, 1)
    ]
    weights = [dict(model.named_parameters()) for model in models_of]
    changed = {name.split("layer.")[1][0] for name in weights[0] if "layer." in name and weights[0][name].ndim > 1
               and not torch.equal(weights[0][name], weights[1][name])}  # fmt: skip
    assert changed == {"1"}


@pytest.mark.parametrize(("name", "positions"), [("roberta", 65), ("mpnet", 64), ("bert", 66)])
def test_a_model_is_asked_for_no_more_tokens_than_it_reads(name, positions, tmp_path):
    folder = checkpoint(name, TEXTS, tmp_path)
    tokenizer = serialization.load(folder)
    model = classifier(ClassifierConfig(name=folder), folder, tokenizer, ["no", "yes"], 1)
    check_fit(model, tokenizer, positions)
    with pytest.raises(InputError, match=rf"sequence_length: .*{positions + 1}.*; shorten it"):
        check_fit(model, tokenizer, positions + 1)


def test_a_tokenizer_larger_than_its_model_is_refused_in_pretraining_too(tmp_path):
    write_chain(tmp_path)
    folder = checkpoint("bert", TEXTS, tmp_path / "checkpoint")
    larger: Any = transformers.AutoTokenizer.from_pretrained(folder)
    larger.add_tokens(["angioplasty"])
    larger.save_pretrained(folder)
    keys = {"model.init_from": folder, "tokenizer": folder, "objective": "mlm", "training.duration": "1 steps"}
    with pytest.raises(InputError, match=rf"the tokenizer has {len(larger)} entries, .* only {len(larger) - 1}"):
        pretrain(load(PretrainConfig, tmp_path / "pretrain.yaml", keys))


def test_relative_positions_have_no_limit():
    # Once, "sequence_length: 24 exceeds the -1 positions of the model".
    config = transformers.XLNetConfig(vocab_size=40, d_model=16, n_layer=1, n_head=2, d_inner=16)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    check_fit(model, trained_tokenizer_of_size(40), 100)


def trained_tokenizer_of_size(size: int) -> Any:
    words = {f"w{number}": number for number in range(size)}
    backend = Tokenizer(models.WordLevel(words, unk_token="w0"))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, sep_token="w1", pad_token="w2")


def test_a_tokenizer_that_writes_another_format_is_refused(tmp_path):
    trained_tokenizer("unigram-last", TEXTS, tmp_path)
    with pytest.raises(InputError, match=r"writes the text 'a' as '.* \[SEP\] \[CLS\]'"):
        serialization.load(tmp_path)


def test_a_tokenizer_without_a_format_gets_that_of_bert_and_keeps_it(tmp_path, caplog):
    backend = Tokenizer(
        models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3, "[MASK]": 4, "a": 5}, "[UNK]")
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="[MASK]", **names).save_pretrained(
        tmp_path
    )
    with caplog.at_level(logging.INFO):
        tokenizer = serialization.load(tmp_path)
    assert "adds no special tokens; texts get [CLS] and [SEP]" in caplog.text
    tokenizer.save_pretrained(tmp_path / "exported")
    exported: Any = transformers.AutoTokenizer.from_pretrained(tmp_path / "exported")
    assert exported("a", "a a")["input_ids"] == [1, 5, 2, 5, 5, 2]
    assert exported("a", "a a", return_token_type_ids=True)["token_type_ids"] == [0, 0, 0, 1, 1, 1]


def test_a_tokenizer_in_python_is_refused_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(serialization, "load_any", lambda folder, commit: type("SlowTokenizer", (), {})())
    with pytest.raises(InputError, match=r"is a SlowTokenizer, written in Python"):
        serialization.load(tmp_path)


VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "a", "##s"]


@pytest.mark.parametrize(
    ("words", "lowercases", "said", "warned"),
    [
        ([], None, "is read as uncased", ""),
        ([], False, "is read as cased", ""),
        (["The", "Film", "London"], None, "is read as uncased", "3 of its 7 entries have capitals and can never occur"),
        (["The", "Film", "London"], False, "is read as cased", ""),
    ],
)
def test_of_a_vocabulary_alone_it_is_said_how_it_is_read(tmp_path, caplog, words, lowercases, said, warned):
    (tmp_path / "vocab.txt").write_text("\n".join([*VOCABULARY, *words]), encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    if lowercases is not None:
        keys = {"do_lower_case": lowercases}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(keys), encoding="utf-8")
    with caplog.at_level(logging.INFO):
        tokenizer = serialization.load(tmp_path)
    assert tokenizer.tokenize("The films") == (["The", "film", "##s"] if lowercases is False and words else
                                               ["[UNK]", "film", "##s"] if lowercases is False else
                                               ["the", "film", "##s"])  # fmt: skip
    assert said in caplog.text
    assert (warned in caplog.text) if warned else ("looks cased" not in caplog.text)


def test_texts_longer_than_the_encoder_was_pretrained_on_are_told(tmp_path, caplog):
    write_chain(tmp_path)
    folder = checkpoint("bert", TEXTS, tmp_path / "checkpoint")
    file = tmp_path / "checkpoint" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pretraining_sequence_length": 12}), encoding="utf-8")
    with caplog.at_level(logging.INFO):
        run(finetune_config(tmp_path, model__name=folder, training__duration="1 steps"))
        assert "the model was pretrained on at most 12 tokens, and 67% of the training texts are longer" in caplog.text
        caplog.clear()
        run(finetune_config(tmp_path, model__name=folder, training__duration="1 steps", sequence_length=12))
        assert "pretrained on at most" not in caplog.text
