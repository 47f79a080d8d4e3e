"""Every objective: learns, resumes to the last bit, and leaves what `transformers` loads."""

import dataclasses
import json
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    ElectraForPreTraining,
)

import pretrain.training.engine
from configs.errors import InputError
from pretrain.data.loader import idle
from pretrain.data.masked_lm_dataset import PackedPlan, TokenLayout
from pretrain.data.store import prepare, store_folder
from pretrain.models.builders import pretraining_model, recurrent_lm
from pretrain.objectives.registry import OBJECTIVES
from pretrain.run import run, sources
from pretrain.run_paths import run_folder, tokenizer_of
from pretrain.training import checkpoints
from pretrain.training.metric_logger import read_metrics
from pretrain.training.schedule import Duration
from pretrain.training.throughput import RATES
from pretrain.training.train_state import TrainState
from tests.helpers.pretraining import changed, small_run
from tokenizer.vocabulary.serialization import load as load_tokenizer

CLOCK = ("seconds", *RATES)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("objectives")


def without_clock(rows):
    return [{key: value for key, value in row.items() if key not in CLOCK} for row in rows]


@pytest.fixture(scope="module", params=OBJECTIVES)
def finished(request, shared):
    """A run of each objective that is long enough to learn something."""
    learn = {"duration": "160 steps", "log_every": 20, "save_every": 40}
    small = {"embedding_size": 32, "hidden_size": 48, "bptt": 8, "dropout": 0.0, "attention": True}
    config = small_run(shared, objective=request.param, training=learn, model={"dropout": 0.0}, recurrent=small)
    return config, run(config)


def test_each_objective_learns(finished):
    config, folder = finished
    result = folder.result()
    assert result["objective"] == config.objective
    measured = [row["eval_loss"] for row in read_metrics(folder.metrics) if "eval_loss" in row]
    assert result["eval_loss"] == measured[-1]
    if config.objective == "autoencode":
        # To write unseen passages again takes longer: tests/pretrain/models/test_sequence_to_sequence.py.
        losses = [row["loss"] for row in read_metrics(folder.metrics) if "loss" in row]
        assert losses[-1] < 0.9 * losses[0]
        return
    assert (
        result["eval_lm_loss" if OBJECTIVES[config.objective].recurrent else "eval_mlm_loss"]
        < result["eval_unigram_entropy"]
    )
    assert measured[-1] < measured[0]
    if config.objective == "rtd":
        assert 0 < result["eval_rtd_replaced"] < 0.2
        assert result["eval_rtd_majority"] == 1 - result["eval_rtd_replaced"]
        assert result["eval_rtd_loss"] < 0.5, "below that of a coin"
        assert result["eval_loss"] == pytest.approx(result["eval_mlm_loss"] + 50 * result["eval_rtd_loss"])


def test_what_each_objective_leaves_loads_with_transformers_alone(finished):
    config, folder = finished
    described = json.loads((folder.model / "config.json").read_text())
    assert described["pretraining_objective"] == config.objective
    kinds: dict[str, Any] = {
        "mlm_nsp": (AutoModelForPreTraining, AutoModelForMaskedLM),
        "mlm_sop": (AutoModelForPreTraining, AutoModelForMaskedLM),
        "mlm": (AutoModelForMaskedLM,),
        "rtd": (ElectraForPreTraining, AutoModelForPreTraining),
        "causal_lm": (AutoModelForCausalLM,),
        "autoencode": (AutoModelForSeq2SeqLM,),
    }
    for kind in kinds[config.objective]:
        _, info = kind.from_pretrained(folder.model, output_loading_info=True)
        assert not info["missing_keys"], kind
    _, info = AutoModelForSequenceClassification.from_pretrained(folder.model, output_loading_info=True)
    # transformers' own names for what a classifier has on top.
    assert all(name.startswith(("classifier", "bert.pooler")) for name in info["missing_keys"])
    if config.objective == "rtd":
        _, info = AutoModelForMaskedLM.from_pretrained(folder.model / "generator", output_loading_info=True)
        assert not info["missing_keys"]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_objective_resumes_to_the_last_bit_with_any_number_of_workers(objective, shared, tmp_path):
    training = {"duration": "12 steps", "save_every": 5, "keep_checkpoints": 9}
    config = small_run(shared, objective=objective, training=training, masking={"unit": "span"}, pairs="balanced")
    config = changed(config, runs=str(tmp_path / "whole"))
    whole = run(config)
    for workers in (0, 2):
        again = changed(config, runs=str(tmp_path / str(workers)), training={"workers": workers})
        folder = run_folder(again)
        shutil.copytree(whole.path, folder.path)
        (folder.path / "result.json").unlink()
        for step in (10, 12):
            shutil.rmtree(checkpoints.path_of(folder.checkpoints, step))
        run(again)
        assert without_clock(read_metrics(folder.metrics)) == without_clock(read_metrics(whole.metrics))
        assert without_clock([folder.result()]) == without_clock([whole.result()])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_batch_that_does_not_count_adds_nothing(objective, shared):
    config = small_run(shared, objective=objective)
    tokenizer_folder, digest = tokenizer_of(config)
    tokenizer = load_tokenizer(tokenizer_folder)
    store = prepare(config.corpus, tokenizer_folder, store_folder(config.corpus, digest, config.runs))
    (source,), _ = sources(config, store, TokenLayout.of(tokenizer))
    epoch = source.epoch(0)
    batch = epoch.collate(epoch.batches[0])
    record = OBJECTIVES[objective]
    if record.recurrent:
        model: Any = recurrent_lm(record.head, config.recurrent, tokenizer, 0)
    else:
        model = pretraining_model(record.head, config.model, tokenizer, None, 0)
    loss, metrics, _ = record.compute(model, idle(batch).with_totals(batch.counts))
    loss.backward()
    assert loss.item() == 0
    assert all(float(total) == 0 and count == 0 for total, count in metrics.values())
    assert not any(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_packed_sequences_hold_sentences_and_separators_alone(shared):
    config = small_run(shared, objective="mlm")
    tokenizer_folder, digest = tokenizer_of(config)
    tokenizer = load_tokenizer(tokenizer_folder)
    store = prepare(config.corpus, tokenizer_folder, store_folder(config.corpus, digest, config.runs))
    (source,), (held_out,) = sources(config, store, TokenLayout.of(tokenizer))
    epoch = source.epoch(3)
    for samples in epoch.batches:
        batch = epoch.collate(samples)
        assert "relation" not in batch
        assert not batch["token_type_ids"].any()
        assert batch["input_ids"].shape[1] <= config.sequence_length
        flat = batch["input_ids"].reshape(-1).clone()
        flat[batch["masked_positions"]] = batch["masked_labels"]
        assert torch.equal(flat.view_as(batch["original_ids"]), batch["original_ids"])
        assert (batch["original_ids"][:, 0] == tokenizer.cls_token_id).all()
        last = batch["attention_mask"].sum(1) - 1
        assert (batch["original_ids"][torch.arange(len(last)), last] == tokenizer.sep_token_id).all()
    assert isinstance(held_out.plan, PackedPlan)
    starts = store.sentence_offsets[store.document_offsets]
    held = set((np.searchsorted(starts, held_out.plan.all_pieces[:, 0], "right") - 1).tolist())
    assert held
    assert not held & set(source.documents.tolist())


# ------------------------------------------------------------------------------------------------ phases


def test_phases_change_the_length_inside_one_run(shared, tmp_path):
    config = small_run(
        shared,
        phases="75% at 16, then 25% at 48",
        training={"duration": "20 steps", "evaluations": 4, "save_every": 3, "keep_checkpoints": 99},
        runs=str(tmp_path / "whole"),
    )
    whole = run(config)
    rows = [row for row in read_metrics(whole.metrics) if "loss" in row]
    tokens = np.diff([0, *(row["tokens"] for row in rows)])
    full = [count for count in tokens if count > 16 * 10]
    assert tokens[:15].max() <= 16 * 16
    assert tokens[15:].max() > 16 * 16
    assert len(full) > 10
    epochs = [row["epoch"] for row in rows]
    assert epochs == sorted(epochs)
    assert np.diff(epochs).max() < 0.5, "a new phase goes on counting"
    # Resumed before, at and after the change.
    for step in (12, 15, 18):
        again = changed(config, runs=str(tmp_path / str(step)))
        folder = run_folder(again)
        shutil.copytree(whole.path, folder.path)
        (folder.path / "result.json").unlink()
        for place in checkpoints.list_checkpoints(folder.checkpoints):
            if place > checkpoints.path_of(folder.checkpoints, step):
                shutil.rmtree(place)
        run(again)
        assert without_clock(read_metrics(folder.metrics)) == without_clock(read_metrics(whole.metrics))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phases": "90% at 16, then 10% at 600"}, "600 exceeds the 64 positions of the model"),
        ({"phases": "100% at 65"}, "65 exceeds the 64 positions of the model; raise model.maximum_positions"),
        ({"phases": "90% at 16, then 10% at 4"}, "a sequence of 4 tokens is too short"),
        ({"phases": "90% at 16"}, "shares above 0 that add up to 100%"),
    ],
)
def test_lengths_that_cannot_be_are_refused_before_anything_is_trained(shared, changes, message):
    config = small_run(shared, **changes)
    with pytest.raises(InputError, match=message):
        run(config)
    assert not run_folder(config).path.exists()


# ------------------------------------------------------------------------------------------------ the clock


class Clock:
    """A clock that goes on by a tenth of a second each time somebody looks."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        self.now += 0.1
        return self.now


def test_a_run_by_the_clock_ends_with_it_and_resumes_on_the_same_schedule(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain.training.engine, "time", Clock())
    config = small_run(
        shared,
        training={"duration": "4 seconds", "save_every": 4, "evaluations": 2, "keep_checkpoints": 99},
        runs=str(tmp_path / "whole"),
    )
    whole = run(config)
    result = whole.result()
    assert result["steps"] == 20, "of two tenths of a second each: one look behind the data, one at the end"
    assert result["seconds"] == pytest.approx(4.0)
    rates = [row["lr"] for row in read_metrics(whole.metrics) if "lr" in row]
    assert rates[0] == 0
    assert max(rates) == pytest.approx(0.01, rel=0.1)
    assert rates[-1] < 0.1 * max(rates)
    again = changed(config, runs=str(tmp_path / "again"))
    folder = run_folder(again)
    shutil.copytree(whole.path, folder.path)
    (folder.path / "result.json").unlink()
    for place in checkpoints.list_checkpoints(folder.checkpoints):
        if place > checkpoints.path_of(folder.checkpoints, 8):
            shutil.rmtree(place)
    monkeypatch.setattr(pretrain.training.engine, "time", Clock())
    run(again)
    for resumed, unbroken in zip(read_metrics(folder.metrics), read_metrics(whole.metrics), strict=True):
        assert {key: value for key, value in resumed.items() if key not in CLOCK} == pytest.approx(
            {key: value for key, value in unbroken.items() if key not in CLOCK}, rel=1e-6
        )
        assert resumed["seconds"] == pytest.approx(unbroken["seconds"])


def test_progress_by_the_clock_is_a_function_of_the_position_alone():
    position = TrainState(step=7, seconds=30.0)
    duration = Duration.parse("1 minute")
    assert duration.progress(position.epochs, position.step, position.tokens, position.seconds) == 0.5


def test_the_weight_of_the_second_task_is_in_the_loss_and_held_out():
    calls = []

    def loss(model, batch, pair_weight=1.0):
        calls.append(pair_weight)

    objective = dataclasses.replace(OBJECTIVES["mlm_nsp"], loss=loss)
    batch: Any = None
    objective.weighted(0.25).compute(None, batch)
    objective.weighted(1).compute(None, batch)
    assert calls == [0.25, 1.0]
    assert objective.weighted(0.25).held_out_weights == {"mlm_loss": 1, "nsp_loss": 0.25}
    for name in ("mlm", "rtd"):
        assert OBJECTIVES[name].weighted(0.25) is OBJECTIVES[name], "it has no pairs"


def test_a_weight_of_nothing_trains_the_masked_lm_alone(shared):
    losses = {}
    for weight in (0.0, 0.5):
        config = small_run(shared, name="weighted", pair_weight=weight, training={"duration": "2 steps"})
        rows = read_metrics(run(config).metrics)
        first = next(row for row in rows if "mlm_loss" in row)
        losses[weight] = (first["loss"], first["mlm_loss"], first["nsp_loss"])
    for weight, (loss, mlm_loss, nsp_loss) in losses.items():
        assert loss == pytest.approx(mlm_loss + weight * nsp_loss, rel=1e-5)
    assert losses[0.0][1:] == losses[0.5][1:], "the first step starts from the same weights"
