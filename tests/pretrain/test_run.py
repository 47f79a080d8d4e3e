"""A whole run: it learns, and leaves behind what it promises."""

import importlib.metadata
import json
import logging
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from transformers import AutoModelForMaskedLM, AutoModelForPreTraining, AutoTokenizer

from configs.command_line import as_dict, load
from configs.errors import InputError
from pretrain import prepare as prepare_command
from pretrain.config import PretrainConfig
from pretrain.data import store as store_module
from pretrain.data.masked_lm_dataset import TokenLayout
from pretrain.data.store import prepare, store_folder
from pretrain.models.pretraining_models import PairModel
from pretrain.objectives.registry import OBJECTIVES
from pretrain.run import run, sequence_text, sources
from pretrain.run_paths import find, run_folder, tokenizer_of
from pretrain.training.metric_logger import read_metrics
from pretrain.training.throughput import RATES
from tests.helpers.pretraining import DOCUMENTS, changed, corpus_text, small_run, store_of
from tokenizer.corpus.config import CorpusConfig
from tokenizer.vocabulary.serialization import load as load_tokenizer

ROW = {"step", "epoch", "tokens", "seconds"}
OBJECTIVE = {"loss", "mlm_loss", "nsp_loss", "mlm_accuracy", "nsp_accuracy"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def config(shared):
    return small_run(shared, training={"duration": "300 steps", "log_every": 20}, model={"dropout": 0.0})


@pytest.fixture(scope="module")
def folder(config):
    return run(config)


@pytest.fixture(scope="module")
def data(config):
    """The store, the training source and the held-out pairs of the run."""
    tokenizer_folder, digest = tokenizer_of(config)
    store = prepare(config.corpus, tokenizer_folder, store_folder(config.corpus, digest, config.runs))
    (training,), (held_out,) = sources(config, store, TokenLayout.of(load_tokenizer(tokenizer_folder)))
    return store, training, held_out


def test_the_masked_lm_learns_more_than_the_frequencies_of_the_words(folder):
    result = folder.result()
    measured = [row["eval_mlm_loss"] for row in read_metrics(folder.metrics) if "eval_mlm_loss" in row]
    assert len(measured) == 4
    assert measured[-1] < measured[0]
    assert result["eval_mlm_loss"] == measured[-1]
    assert result["eval_mlm_loss"] < result["eval_unigram_entropy"]
    losses = [row["mlm_loss"] for row in read_metrics(folder.metrics) if "mlm_loss" in row]
    assert losses[-1] < losses[0] - 0.5


def test_rows_of_the_journal_have_the_promised_columns(folder):
    rows = read_metrics(folder.metrics)
    trained = [row for row in rows if "loss" in row]
    evaluated = [row for row in rows if "eval_loss" in row]
    assert len(trained) + len(evaluated) == len(rows)
    assert [row["step"] for row in trained] == list(range(20, 301, 20))
    for row in trained:
        assert set(row) == ROW | OBJECTIVE | {"lr", "gradient_norm", *RATES}
        # `loss` is a mean over steps, the others are means over targets: small last batches weigh differently.
        assert row["loss"] == pytest.approx(row["mlm_loss"] + row["nsp_loss"], abs=0.15)
        assert row["tokens_per_second"] > 0
    for row in evaluated:
        assert set(row) == ROW | {f"eval_{name}" for name in OBJECTIVE}
        assert row["eval_loss"] == pytest.approx(row["eval_mlm_loss"] + row["eval_nsp_loss"])
    assert all(np.isfinite(value) for row in rows for value in row.values())
    rates = [row["lr"] for row in trained]
    assert rates[0] < rates[1] == max(rates)
    assert rates[1:] == sorted(rates[1:], reverse=True)


def test_the_result_tells_the_course_the_losses_and_the_size(folder):
    result = folder.result()
    last = read_metrics(folder.metrics)[-1]
    assert (result["steps"], result["tokens"], result["epochs"]) == (300, last["tokens"], last["epoch"])
    assert {f"eval_{name}" for name in OBJECTIVE} <= set(result)
    assert 0.5 <= result["eval_nsp_majority"] <= 1
    model = AutoModelForPreTraining.from_pretrained(folder.model)
    assert result["parameters"] == sum(parameter.numel() for parameter in model.parameters())


def test_the_config_written_gives_the_same_run(folder, config):
    written = yaml.safe_load((folder.path / "config.yaml").read_text())
    assert written == json.loads(json.dumps(as_dict(config)))
    assert run_folder(load(PretrainConfig, folder.path / "config.yaml")).path == folder.path


def test_the_environment_names_versions_and_the_machines_part(folder):
    environment = json.loads((folder.path / "environment.json").read_text())
    assert {"python", "platform", "cpu_count", "git_revision", "versions"} <= set(environment)
    assert environment["versions"]["torch"] == importlib.metadata.version("torch")
    assert (environment["threads"], environment["world_size"]) == (1, 1)
    assert (environment["device"], environment["mixed_precision"]) == ("cpu", "no")


def test_the_model_folder_loads_with_transformers_alone_and_gives_the_same_scores(folder):
    tokenizer: Any = AutoTokenizer.from_pretrained(folder.model)
    whole = AutoModelForPreTraining.from_pretrained(folder.model).eval()
    masked = AutoModelForMaskedLM.from_pretrained(folder.model).eval()
    inputs = tokenizer(
        ["the old [MASK] meets the rose."], ["the boat [MASK] the gull."], return_tensors="pt", padding=True
    )
    assert tokenizer.mask_token_id in inputs["input_ids"]
    with torch.inference_mode():
        torch.testing.assert_close(masked(**inputs).logits, whole(**inputs).prediction_logits)
    assert whole.config.vocab_size == len(tokenizer)


def test_the_saved_model_has_the_loss_that_the_result_tells(folder, data):
    _, _, held_out = data
    model = PairModel(AutoModelForPreTraining.from_pretrained(folder.model)).eval()
    total = count = 0
    with torch.inference_mode():
        for samples in held_out.batches:
            batch = held_out.collate(samples)
            names = ("input_ids", "token_type_ids", "attention_mask", "masked_positions")
            scores_MV, _ = model(*(batch[name] for name in names))
            total += torch.nn.functional.cross_entropy(scores_MV, batch["masked_labels"], reduction="sum").item()
            count += len(batch["masked_labels"])
    assert total / count == pytest.approx(folder.result()["eval_mlm_loss"], abs=1e-5)


def test_the_saved_tokenizer_is_the_one_given(folder, config):
    given: Any = load_tokenizer(config.tokenizer)
    saved: Any = AutoTokenizer.from_pretrained(folder.model)
    text = "The quiet Train leaves the zebra, 42."
    assert saved(text)["input_ids"] == given(text)["input_ids"]
    assert saved.get_vocab() == given.get_vocab()


def test_a_finished_run_is_left_as_it_is(folder, config):
    files = [file for file in sorted(folder.path.rglob("*")) if file.is_file()]
    before = [(file, file.stat().st_mtime_ns) for file in files]
    again = run(changed(config, training={"workers": 2, "log_every": 7}))
    assert again.path == folder.path
    assert [(file, file.stat().st_mtime_ns) for file in sorted(folder.path.rglob("*")) if file.is_file()] == before


def test_a_finished_run_is_found_by_its_folder_and_by_its_yaml_file(folder, config, tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(as_dict(config)), encoding="utf-8")
    by_folder, by_file = find(str(folder.path), config.runs), find(str(file), config.runs)
    assert by_folder == by_file
    assert by_folder[0] == str(folder.model)
    with pytest.raises(InputError, match="is not finished; run `python -m pretrain"):
        find(str(file), str(tmp_path / "elsewhere"))


def test_held_out_documents_are_not_trained_on(data, config):
    store, training, held_out = data
    starts = store.sentence_offsets[store.document_offsets]
    documents = {
        int(np.searchsorted(starts, begin, side="right")) - 1
        for name in ("a_begin", "b_begin")
        for begin in held_out.plan.rows[name]
    }
    assert len(documents) == round(config.held_out_share * store.document_count)
    assert not documents & set(training.documents.tolist())
    assert len(documents) + len(training.documents) == store.document_count


def test_a_decoded_pair_shows_what_is_hidden(data, config):
    _, training, _ = data
    tokenizer = load_tokenizer(config.tokenizer)
    text = sequence_text(training.epoch(0), tokenizer, OBJECTIVES["mlm_nsp"])
    head, shown, hidden = text.splitlines()
    assert "[MASK]" in shown
    assert shown.count("[SEP]") == 2
    assert shown.strip().startswith("[CLS]")
    assert head.endswith(("(B is random):", "(B follows A):"))
    words = hidden.removeprefix("  masked: ").split()
    assert shown.count("[MASK]") <= len(words)
    assert set(words) <= set(tokenizer.get_vocab())


def test_a_pair_is_shown_before_training(config, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="pretrain")
    run(changed(config, training={"duration": "1 step"}, runs=str(tmp_path / "runs")))
    assert "a training sequence" in caplog.text
    assert "[MASK]" in caplog.text


def nothing_trained(runs):
    return not [*runs.glob("pretrain/*/checkpoints"), *runs.glob("pretrain/*/metrics.jsonl")]


@pytest.mark.parametrize("documents", [1, 3])
def test_a_corpus_of_too_few_documents_is_refused_before_training(config, tmp_path, documents):
    file = tmp_path / "few.txt"
    file.write_text("\n\n".join(["The rose. The lawn.\nThe hedge."] * documents), encoding="utf-8")
    few = changed(config, corpus=CorpusConfig(source=str(file)), runs=str(tmp_path / "runs"))
    with pytest.raises(InputError, match=rf"corpus\.source: .*holds {documents} document\(s\).*at least 4"):
        run(few)
    assert nothing_trained(tmp_path / "runs")


@pytest.mark.parametrize("text", ["", "\n\n  \n"])
def test_an_empty_corpus_is_refused_before_training(config, tmp_path, text):
    file = tmp_path / "empty.txt"
    file.write_text(text, encoding="utf-8")
    empty = changed(config, corpus=CorpusConfig(source=str(file)), runs=str(tmp_path / "runs"))
    with pytest.raises(InputError, match=r"corpus\.source: .*holds no document with any text"):
        run(empty)
    assert nothing_trained(tmp_path / "runs")


def test_four_documents_are_enough(config, tmp_path):
    file = tmp_path / "four.txt"
    file.write_text("\n\n".join(["The rose. The lawn.\nThe hedge."] * 4), encoding="utf-8")
    four = changed(
        config,
        corpus=CorpusConfig(source=str(file)),
        training={"duration": "2 steps"},
        runs=str(tmp_path / "runs"),
    )
    assert run(four).result()["steps"] == 2


def test_a_duration_that_is_none_is_refused_before_anything_else(config, tmp_path):
    wrong = changed(config, training={"duration": "a while"}, runs=str(tmp_path / "runs"))
    with pytest.raises(InputError, match=r"training\.duration"):
        run(wrong)
    assert not (tmp_path / "runs").exists()


def test_a_start_from_cooccurrences_begins_below_a_random_one(config, tmp_path):
    short = changed(config, training={"duration": "2 steps", "log_every": 1}, runs=str(tmp_path / "runs"))
    random, counted = run(short), run(changed(short, model={"embedding_init": "cooccurrence"}))
    assert random.path != counted.path
    first = [read_metrics(folder.metrics)[0]["mlm_loss"] for folder in (random, counted)]
    assert first[1] < first[0]


def test_a_tracker_of_accelerate_writes_beside_the_journal(config, tmp_path):
    tracked = changed(
        config,
        training={"duration": "4 steps", "log_every": 2},
        log_with="tensorboard",
        runs=str(tmp_path / "runs"),
    )
    pytest.importorskip("tensorboard")
    folder = run(tracked)
    events = list(folder.path.rglob("events.out.tfevents.*"))
    assert events
    assert sum(file.stat().st_size for file in events) > 500
    assert len([row for row in read_metrics(folder.metrics) if "loss" in row]) == 2


@pytest.mark.parametrize("name", ["tensorbored", "wandb"])
def test_an_unknown_or_absent_tracker_is_refused(shared, tmp_path, name):
    with pytest.raises(InputError, match="log_with"):
        run(small_run(shared, runs=str(tmp_path), log_with=name))


def test_a_store_made_beforehand_is_the_one_that_the_run_uses(shared, tmp_path, monkeypatch, capsys):
    config = small_run(shared, training={"duration": "2 steps"}, runs=str(tmp_path / "runs"))
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(as_dict(config)), encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["prepare", "--config", str(file)])
    prepare_command.main()
    assert f"prepare: {DOCUMENTS} documents" in capsys.readouterr().out
    monkeypatch.setattr(store_module, "_build", None)
    assert run(config).finished


@pytest.mark.parametrize("changes", [{"pairs": "balanced"}, {"objective": "mlm_sop"}])
def test_too_little_text_for_a_layout_is_refused(shared, tmp_path, changes):
    file = tmp_path / "few.txt"
    file.write_text("rose\n\nboat\n\nbread\n\ngull\n", encoding="utf-8")
    config = small_run(shared, corpus={"source": str(file)}, held_out_share=0.5, **changes)
    with pytest.raises(InputError, match="holds too little text for"):
        run(config)


@pytest.mark.parametrize("duration", ["20 steps", "3 epochs", "6000 tokens", "30 epochs, at most 20 steps"])
def test_the_masking_rate_is_the_final_one_at_the_end_whatever_the_unit_of_the_duration(tmp_path, duration):
    config = small_run(
        tmp_path, masking={"rate": 0.4, "final_rate": 0.1}, training={"duration": duration, "log_every": 1}
    )
    store_run = store_folder(config.corpus, tokenizer_of(config)[1], config.runs)
    store = prepare(config.corpus, tokenizer_of(config)[0], store_run)
    layout = TokenLayout.of(load_tokenizer(tokenizer_of(config)[0]))
    (source,), _ = sources(config, store, layout)
    epochs = run(config).result()["epochs"]
    assert source.epochs == pytest.approx(epochs, rel=0.15)


@pytest.mark.parametrize("changes", [{"training": {"duration": "5 seconds"}}, {"phases": "50% at 16, then 50% at 32"}])
def test_a_moving_masking_rate_needs_a_run_whose_batches_are_numbered(tmp_path, changes):
    with pytest.raises(InputError, match=r"masking\.final_rate: the rate of a batch"):
        # Before anything is read: the recipe for a GPU once asked for both, and failed when its corpus was tokenized.
        small_run(tmp_path, masking={"final_rate": 0.1}, **changes)


def test_a_single_book_is_taken_in_pieces_except_for_pairs(tmp_path):
    config = small_run(tmp_path)
    book = tmp_path / "book.txt"
    sentences = corpus_text().replace("\n", " ").split(". ")
    book.write_text(". ".join(sentences[:400]), encoding="utf-8")
    corpus = CorpusConfig(source=str(book))
    with pytest.raises(InputError, match=r"holds 1 document\(s\); mlm_nsp needs at least 4"):
        run(changed(config, corpus=corpus))
    folder = run(changed(config, corpus=corpus, objective="mlm", name="book", training={"duration": "3 steps"}))
    assert np.isfinite(folder.result()["eval_mlm_loss"])


def test_pieces_hold_the_same_text_and_divide_its_characters():
    whole = store_of([[3, 4, 5], [], [2], [1, 1, 1, 1]])
    pieces = whole.in_pieces(2)
    assert pieces.document_offsets.tolist() == [0, 2, 3, 4, 6, 8]
    assert pieces.characters.tolist() == [70, 50, 20, 20, 20]
    assert pieces.sentence_offsets is whole.sentence_offsets
