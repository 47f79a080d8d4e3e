"""Each thing that people add has one place: an entry there, and the rest of the toolkit knows it."""

import dataclasses
from typing import Any

import evaluate
import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from configs.command_line import load
from configs.errors import InputError
from finetune.classification import metrics
from finetune.compare import run as compare
from finetune.comparison import report
from finetune.comparison.config import CompareConfig
from pretrain.models import architectures
from pretrain.objectives import registry
from pretrain.objectives.masked_lm import masked_lm_loss, masked_lm_source
from pretrain.objectives.objective import LossOutput, Objective
from pretrain.run import run
from pretrain.training import optimizer
from pretrain.training.config import OptimizerConfig
from pretrain.training.metric_logger import read_metrics
from tests.helpers.pretraining import small_run


def smoothed_loss(model: Any, batch: Any) -> LossOutput:
    """Masked-LM loss, and the entropy of the predictions beside it."""
    scores_MV = model(batch["input_ids"], batch["token_type_ids"], batch["attention_mask"], batch["masked_positions"])
    loss, values = masked_lm_loss(scores_MV, batch)
    entropy = torch.distributions.Categorical(logits=scores_MV.detach().float()).entropy().sum()
    return LossOutput(loss, values | {"entropy": (entropy, batch.counts["mlm"])})


SMOOTHED = Objective(
    name="mlm_entropy",
    head="masked_lm",
    source=lambda settings: masked_lm_source(settings, "packed"),
    loss=smoothed_loss,
    held_out_weights={"mlm_loss": 1},
    baselines=lambda held_out, measured: {"eval_sequences_seen": len(held_out.batches)},
)


def test_an_objective_is_one_record(tmp_path, monkeypatch):
    monkeypatch.setitem(registry.OBJECTIVES, SMOOTHED.name, SMOOTHED)
    folder = run(small_run(tmp_path, objective=SMOOTHED.name, training={"duration": "30 steps"}))
    result = folder.result()
    assert result["objective"] == "mlm_entropy"
    assert 0 < result["eval_entropy"] <= np.log(160)
    assert result["eval_sequences_seen"] >= 1
    assert "entropy" in read_metrics(folder.metrics)[0]
    AutoModelForMaskedLM.from_pretrained(folder.model)


def test_an_unknown_objective_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(InputError, match=r"objective: unknown 'mlm_nps'; did you mean `mlm_nsp`\? \(known: autoencode"):
        small_run(tmp_path, objective="mlm_nps")


def test_an_architecture_is_one_record(monkeypatch):
    shipped = architectures.ARCHITECTURES["electra"]
    electra = dataclasses.replace(
        shipped,
        heads={"masked_lm": shipped.heads["generator"]},
        first_position=lambda config: 7,
    )
    monkeypatch.setattr(architectures, "ARCHITECTURES", {"electra": electra})
    from pretrain.models.builders import pretraining_model
    from pretrain.models.config import EncoderConfig

    tokenizer = type("Tokenizer", (), {"__len__": lambda self: 30, "pad_token_id": 0})()
    sizes = EncoderConfig(layers=1, hidden_size=8, heads=1, maximum_positions=20, dropout=0.0)
    model = pretraining_model("masked_lm", sizes, tokenizer, None, 0)
    config = model.encoder.config
    assert config.model_type == "electra"
    assert architectures.longest_input(config) == 13
    ids = torch.arange(5, 11).view(1, 6)
    assert model(ids, torch.zeros_like(ids), torch.ones_like(ids), torch.tensor([1, 2])).shape == (2, 30)


def test_an_optimizer_is_one_function(tmp_path, monkeypatch):
    def sgd(groups, config):
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.beta1)

    monkeypatch.setitem(optimizer.OPTIMIZERS, "sgd", sgd)
    config: Any = OptimizerConfig()
    object.__setattr__(config, "name", "sgd")
    object.__setattr__(config, "learning_rate", 0.5)
    rows = read_metrics(run(dataclasses.replace(small_run(tmp_path), optimizer=config)).metrics)
    losses = [row["loss"] for row in rows if "loss" in row]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


class Errors(metrics._LabelMetric):
    """How many classes are wrong."""

    def _compute(self, *, predictions: Any = None, references: Any = None, **options: Any) -> dict[str, float]:
        return {"errors": float(np.sum(np.asarray(predictions) != np.asarray(references)))}


def test_a_score_is_one_entry(monkeypatch):
    assert issubclass(Errors, evaluate.Metric)
    monkeypatch.setattr(metrics, "METRICS", [*metrics.METRICS, Errors])
    values = metrics.scores(np.array([0, 1, 1]), np.array([0, 0, 1]))
    assert values["errors"] == 1
    assert values["accuracy"] == pytest.approx(2 / 3)


def test_a_column_of_the_report_is_one_entry(chain, monkeypatch):
    before = report.columns
    best = report.Column("best seed, %", lambda score: report.percent(max(score.accuracies)))
    monkeypatch.setattr(report, "columns", lambda *arguments: [*before(*arguments), best])
    overrides = {"models": {"bag-of-words": {}}, "label_budgets": [20], "name": "column"}
    folder = compare(load(CompareConfig, chain / "compare.yaml", overrides))
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    (score,) = folder.result()["scores"]
    assert page.count('<th scope="col">best seed, %</th>') == 1
    assert f"<td>{100 * max(score['accuracies']):.1f}</td>" in page
    assert "| best seed, % |" in (folder.path / "report.md").read_text(encoding="utf-8")
