"""A ModernBERT of ours: plain transformers loads it, its pair head travels, and it learns and resumes like BERT."""

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
    pipeline,
)

from configs.errors import InputError
from pretrain.models import scoring
from pretrain.models.builders import classifier, pretraining_model
from pretrain.models.config import ClassifierConfig, EncoderConfig
from pretrain.models.modeling.modeling_modernbert import ModernBertForPreTraining
from pretrain.models.pretraining_models import PairModel
from pretrain.probe import answers
from pretrain.run import run
from pretrain.training.metric_logger import read_metrics
from tests.helpers.paths import ROOT
from tests.helpers.pretraining import small_run, small_tokenizer
from tokenizer.vocabulary.serialization import load as load_tokenizer

SIZES: dict[str, Any] = {"architecture": "modernbert", "layers": 2, "dropout": 0.0, "initializer_range": None}
MUON = {"name": "muon", "learning_rate": 3e-3, "muon_learning_rate": 0.02}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("modernbert")


@pytest.fixture(scope="module")
def folder(shared):
    return run(small_run(shared, model=SIZES, optimizer=MUON, training={"duration": "300 steps"}))


@pytest.fixture(scope="module")
def tokenizer(shared):
    return load_tokenizer(small_tokenizer(shared))


def new_model(tokenizer, **changes):
    sizes: dict[str, Any] = SIZES | {"hidden_size": 32, "heads": 2, "maximum_positions": 64} | changes
    model = pretraining_model("pair", EncoderConfig(**sizes), tokenizer, None, 0)
    assert isinstance(model, PairModel)
    assert isinstance(model.model, ModernBertForPreTraining)
    return model.eval()


def test_its_gated_mlp_has_as_many_weights_as_that_of_bert(tokenizer):
    layers: Any = new_model(tokenizer, hidden_size=96).model.base_model.layers
    gated = sum(parameter.numel() for parameter in layers[0].mlp.parameters())
    assert gated == pytest.approx(2 * 4 * 96 * 96, rel=0.03)
    config = new_model(tokenizer).model.config
    assert set(config.layer_types) == {"full_attention"}
    assert config.classifier_pooling == "mean"


def test_heads_at_masked_positions_equal_those_of_the_whole_model(tokenizer):
    model = new_model(tokenizer)
    ids = torch.randint(5, len(tokenizer), (3, 12))
    ids[:, 0], ids[:, 5], ids[:, 11] = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.sep_token_id
    mask = torch.ones_like(ids)
    ids[2, 9:], mask[2, 9:] = tokenizer.pad_token_id, 0
    positions = torch.tensor([2, 3, 14, 27])
    with torch.inference_mode():
        scores_MV, relation_B2 = model(ids, torch.zeros_like(ids), mask, positions)
        whole = model.model(ids, mask)
    assert torch.allclose(scores_MV, whole.prediction_logits.flatten(0, 1)[positions], atol=1e-5)
    assert torch.allclose(relation_B2, whole.seq_relationship_logits, atol=1e-5)


def test_the_pair_head_averages_each_segment_without_padding(tokenizer):
    model: Any = new_model(tokenizer).model
    ids = torch.tensor([[2, 9, 8, 3, 7, 6, 3, 0, 0]]).masked_fill_(torch.tensor(False), 0)
    ids[ids == 2], ids[ids == 3] = tokenizer.cls_token_id, tokenizer.sep_token_id
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 1, 0, 0]])
    hidden = torch.randn(1, 9, model.config.hidden_size)
    first, second = hidden[:, :4].mean(1), hidden[:, 4:7].mean(1)
    expected = model.seq_relationship(torch.tanh(model.pooler(torch.cat([first, second, first * second], -1))))
    assert torch.allclose(model.relation(hidden, ids, mask), expected, atol=1e-6)


def test_its_loss_is_that_of_both_tasks(tokenizer):
    model: Any = new_model(tokenizer).model
    ids = torch.randint(5, len(tokenizer), (2, 8))
    labels = torch.full_like(ids, -100)
    labels[0, 3] = 7
    output = model(ids, labels=labels, next_sentence_label=torch.tensor([0, 1]))
    masked = torch.nn.functional.cross_entropy(output.prediction_logits[0, 3:4], torch.tensor([7]))
    pairs = torch.nn.functional.cross_entropy(output.seq_relationship_logits, torch.tensor([0, 1]))
    assert output.loss.item() == pytest.approx((masked + pairs).item(), rel=1e-5)
    with pytest.raises(ValueError, match="input_ids tell"):
        model(inputs_embeds=torch.randn(1, 4, model.config.hidden_size))


def test_it_learns_both_tasks(folder):
    result = folder.result()
    assert result["eval_mlm_loss"] < 0.8 * result["eval_unigram_entropy"]
    assert result["eval_nsp_accuracy"] > result["eval_nsp_majority"]


def test_plain_transformers_loads_what_it_can_express(folder):
    masked, info = AutoModelForMaskedLM.from_pretrained(folder.model, output_loading_info=True)
    assert isinstance(masked, ModernBertForMaskedLM)
    assert not info["missing_keys"]
    classes, info = AutoModelForSequenceClassification.from_pretrained(folder.model, output_loading_info=True)
    assert isinstance(classes, ModernBertForSequenceClassification)
    assert set(info["missing_keys"]) == {"classifier.weight", "classifier.bias"}
    filled = pipeline("fill-mask", model=str(folder.model))("the old [MASK] meets the boat.")
    assert filled[0]["score"] > 1 / 160


def test_the_pair_head_loads_where_our_code_is_not(folder, tmp_path):
    program = """
import sys, torch
from transformers import AutoModelForPreTraining, AutoTokenizer
model = AutoModelForPreTraining.from_pretrained(sys.argv[1], trust_remote_code=True)
inputs = AutoTokenizer.from_pretrained(sys.argv[1])("the rose.", "the boat.", return_tensors="pt")
with torch.inference_mode():
    print(type(model).__module__.split(".")[0], *model(**inputs).seq_relationship_logits[0].tolist())
"""
    arguments = [sys.executable, "-I", "-c", program, str(folder.model)]
    ended = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=True)
    module, *logits = ended.stdout.split()
    assert module == "transformers_modules"
    ours: Any = AutoModelForPreTraining.from_pretrained(folder.model, trust_remote_code=True).eval()
    inputs = load_tokenizer(folder.model)("the rose.", "the boat.", return_tensors="pt")
    with torch.inference_mode():
        expected = ours(**inputs).seq_relationship_logits[0].tolist()
    assert [float(logit) for logit in logits] == pytest.approx(expected, abs=1e-5)
    task, share = scoring.relation(str(folder.model), "the rose.", "the boat.")
    assert (task, share) == ("next-sentence", pytest.approx(torch.tensor(expected).softmax(0)[0].item(), abs=1e-5))


def test_the_probe_asks_its_pair_head(folder):
    lines = answers(str(folder.path), "the old [MASK] meets the boat.", "the boat leaves.", 2)
    assert [line.split(":")[0] for line in lines] == ["mask 1", "the second text follows the first"]


def test_it_resumes_to_the_last_bit_with_muon(shared):
    keys = {"model": SIZES, "optimizer": MUON}
    whole = run(small_run(shared, name="whole", training={"duration": "16 steps", "save_every": 5}, **keys))
    program = (
        "import dataclasses, sys\n"
        "from pathlib import Path\n"
        "from pretrain.run import run\n"
        "from pretrain.training import engine\n"
        "from tests.helpers.pretraining import small_run\n"
        "save, saves = engine.checkpoints.save, []\n"
        "def stop(*arguments, **options):\n"
        "    place = save(*arguments, **options)\n"
        "    saves.append(place)\n"
        "    if len(saves) == 2:\n"
        "        sys.exit(9)\n"
        "    return place\n"
        "engine.checkpoints.save = stop\n"
        f"run(small_run(Path({str(shared)!r}), name='parts', training={{'duration': '16 steps', 'save_every': 5}},"
        f" model={SIZES!r}, optimizer={MUON!r}))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 9, ended.stderr[-2000:]
    parts = run(small_run(shared, name="parts", training={"duration": "16 steps", "save_every": 5}, **keys))
    rows = [
        [{name: value for name, value in row.items() if "loss" in name} for row in read_metrics(part.metrics)]
        for part in (whole, parts)
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) >= 16


def test_a_continued_run_keeps_the_pair_head(folder, shared):
    config = small_run(
        shared, name="continued", model={"init_from": str(folder.path)}, training={"duration": "1 steps"}
    )
    again = run(dataclasses.replace(config, tokenizer=None))
    assert again.result()["eval_nsp_accuracy"] > again.result()["eval_nsp_majority"]


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_top_layers_can_be_drawn_again(folder, tokenizer, layers):
    config = ClassifierConfig(name="bert", reinitialized_layers=layers)
    model: Any = classifier(config, str(folder.model), tokenizer, ["a", "b"], 3)
    pretrained: Any = AutoModelForMaskedLM.from_pretrained(folder.model)
    same = [
        torch.equal(one.attn.Wqkv.weight, other.attn.Wqkv.weight)
        for one, other in zip(model.model.layers, pretrained.model.layers, strict=True)
    ]
    assert same == [number < 2 - layers for number in range(2)]


def test_an_objective_without_such_a_head_is_refused(shared):
    with pytest.raises(InputError, match=r"model.architecture: modernbert has no replaced token head; use bert"):
        run(small_run(shared, name="rtd", objective="rtd", model=SIZES))
