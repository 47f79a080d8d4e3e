"""Models that write: the carried state, exact resume, sampling, and sequence to sequence with attention."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from configs.errors import InputError
from pretrain.data.language_model_dataset import PassageSource, StreamSource
from pretrain.data.loader import StreamSlice
from pretrain.data.masked_lm_dataset import TokenLayout
from pretrain.models import builders
from pretrain.models.config import ClassifierConfig
from pretrain.models.generation import Sampling, generate_text, probabilities
from pretrain.models.modeling.configuration_recurrent import RecurrentConfig
from pretrain.models.modeling.modeling_recurrent_lm import RecurrentForCausalLM, RecurrentForSequenceToSequence
from pretrain.objectives.causal_lm import causal_lm_loss
from pretrain.objectives.lm_evaluation import SAMPLES, lm_evaluation_hook
from pretrain.objectives.objective import EvaluationSettings
from pretrain.run import run
from pretrain.run_paths import run_folder
from pretrain.sample import sample
from pretrain.training import checkpoints
from pretrain.training.metric_logger import read_metrics
from tests.helpers.pretraining import changed, small_run, store_of
from tokenizer.vocabulary.serialization import load as load_tokenizer

SIZES = {"embedding_size": 16, "hidden_size": 24}


def writing_run(folder, objective="causal_lm", **changes):
    recurrent = SIZES | {"bptt": 8, "dropout": 0.2} | changes.pop("recurrent", {})
    training = {"duration": "14 steps", "save_every": 4} | changes.pop("training", {})
    return small_run(folder, objective=objective, recurrent=recurrent, training=training, **changes)


def language_model(seed=0, **others):
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "vocab_size": 30,
        "embedding_size": 6,
        "hidden_size": 5,
        "num_hidden_layers": 2,
        "dropout": 0.0,
    }
    return RecurrentForCausalLM(RecurrentConfig(**(sizes | others))).eval()


# ------------------------------------------------------------------------------------------------ streams

LAYOUT = TokenLayout(
    cls_id=101, sep_id=102, pad_id=0, mask_id=103, vocabulary_size=200, continues_V=np.zeros(200, bool)
)


def source(**changes: Any) -> StreamSource:
    # 3 documents of 5, 4 and 6 tokens, numbered through: 18 with their [SEP].
    store = store_of([[2, 3], [4], [1, 5]])
    given: dict[str, Any] = {"store": store, "documents": np.arange(3), "layout": LAYOUT, "bptt": 4, "streams": 2}
    given |= {"backward": False, "seed": 0}
    return StreamSource(**(given | changes))


def test_streams_hold_every_document_and_go_on_where_the_step_before_ended():
    epoch = source().epoch(0)
    assert sorted(epoch.streams_SL[epoch.streams_SL != 102].tolist()) == list(range(15))
    assert [batch.tolist() for batch in epoch.batches] == [[0, 1], [2, 3]]
    first, second = (epoch.collate(batch) for batch in epoch.batches)
    assert [batch.stream_slice for batch in (first, second)] == [StreamSlice(2, True), StreamSlice(2, False)]
    for column in range(2):
        text = epoch.streams_SL[column].tolist()
        read = first["input_ids"][column].tolist() + second["input_ids"][column].tolist()
        told = first["labels"][column].tolist() + second["labels"][column].tolist()
        assert read == text[:-1]
        assert told == text[1:]
    assert first.counts == {"lm": 8, "backward_lm": 0, "tokens": 8, "attended": 0, "sequences": 0}


def test_the_other_direction_reads_the_same_streams_from_their_end():
    epoch = source(backward=True).epoch(0)
    batch = epoch.collate(epoch.batches[0])
    for column in range(2):
        text = epoch.streams_SL[column].tolist()[::-1]
        assert batch["backward_ids"][column].tolist() == text[:4]
        assert batch["backward_labels"][column].tolist() == text[1:5]


def test_part_of_a_batch_is_told_which_streams_it_has():
    epoch = source().epoch(0)
    part = epoch.collate(epoch.batches[1][1:])
    whole = epoch.collate(epoch.batches[1])
    assert part["columns"].tolist() == [1]
    assert torch.equal(part["input_ids"][0], whole["input_ids"][1])


def test_order_is_new_each_epoch_and_the_same_held_out():
    assert not np.array_equal(source().epoch(0).streams_SL, source().epoch(1).streams_SL)
    assert np.array_equal(source().held_out().streams_SL, source().held_out().streams_SL)


def test_passages_are_written_as_they_are_read_a_position_later():
    passages = PassageSource(store_of([[2, 3], [4], [1, 5]]), np.arange(3), LAYOUT, 12, 2, 0)
    epoch = passages.held_out()
    seen = []
    for batch in map(epoch.collate, epoch.batches):
        for row in range(len(batch["input_ids"])):
            length = int(batch["attention_mask"][row].sum())
            read = batch["input_ids"][row, :length].tolist()
            assert batch["decoder_input_ids"][row, :length].tolist() == [101, *read[:-1]]
            assert batch["labels"][row].tolist() == read + [-100] * (batch["labels"].shape[1] - length)
            assert read[-1] == 102
            seen += [token for token in read if token != 102]
        assert batch.counts["lm"] == int((batch["labels"] != -100).sum())
    assert sorted(seen) == list(range(15))


# ----------------------------------------------------------------------------------------- language model


@pytest.mark.parametrize(("cell", "tied"), [("rnn", 6), ("gru", 5), ("lstm", 5)])
def test_stretches_with_a_carried_state_give_what_one_long_pass_gives(cell, tied):
    model = language_model(cell=cell, hidden_size=tied)
    ids = torch.randint(1, 30, (3, 20), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole, state, parts = model(ids).logits, None, []
        for begin in range(0, 20, 6):
            output = model(ids[:, begin : begin + 6], state=state)
            state = output.state
            parts.append(output.logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-6)
    assert model.decoder.weight is model.recurrent.embeddings.weight


def test_the_loss_tells_each_token_from_those_before_it():
    model = language_model()
    ids = torch.randint(1, 30, (2, 7), generator=torch.Generator().manual_seed(0))
    found = model(ids, labels=ids)
    expected = torch.nn.functional.cross_entropy(found.logits[:, :-1].reshape(-1, 30), ids[:, 1:].reshape(-1))
    torch.testing.assert_close(found.loss, expected)


def small_vocabulary(batch):
    """The batch with ids below 30, ready for a loss."""
    ids = {name: batch[name] % 30 for name in ("input_ids", "labels")}
    inputs, labels = batch.inputs | {"input_ids": ids["input_ids"]}, {"labels": ids["labels"]}
    return dataclasses.replace(batch, inputs=inputs, labels=labels, totals=batch.counts)


def test_gradients_stop_at_the_carried_state_and_the_state_does_not():
    model = language_model()
    epoch = source(store=store_of([[9], [9]]), documents=np.arange(2)).epoch(0)
    batches = [small_vocabulary(epoch.collate(batch)) for batch in epoch.batches]
    carry = causal_lm_loss(model, batches[0], None).carry
    assert carry["hidden"].shape == (2, 2, 5)
    assert not carry["hidden"].requires_grad
    loss, _, after = causal_lm_loss(model, batches[1], carry)
    begins = dataclasses.replace(batches[1], stream_slice=batches[0].stream_slice)
    assert loss.item() != causal_lm_loss(model, begins, carry).loss.item()
    assert not torch.equal(after["hidden"], carry["hidden"])
    # Half of the streams leave the others' state alone.
    half = small_vocabulary(epoch.collate(epoch.batches[1][1:]))
    mixed = causal_lm_loss(model, half, carry).carry
    assert torch.equal(mixed["hidden"][0], carry["hidden"][0])
    torch.testing.assert_close(mixed["hidden"][1], after["hidden"][1])


def rows_without_clock(folder):
    clock = {"seconds", "tokens_per_second", "model_gflops", "mfu", "data_wait_share"}
    return [{name: value for name, value in row.items() if name not in clock} for row in read_metrics(folder.metrics)]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_language_model_resumes_exactly_with_its_carried_state(tmp_path, bidirectional, monkeypatch):
    config = writing_run(tmp_path, recurrent={"bidirectional": bidirectional, "layers": 2}, training={"save_every": 3})
    unbroken = run(config)
    broken, save = changed(config, runs=str(tmp_path / "again")), checkpoints.save

    def cut_off(folder, step, *others):
        place = save(folder, step, *others)
        if step == 9:
            raise KeyboardInterrupt
        return place

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "save", cut_off)
        with pytest.raises(KeyboardInterrupt):
            run(broken)
    place = checkpoints.path_of(run_folder(broken).checkpoints, 9)
    carry = checkpoints.load_carry(place, torch.device("cpu"))
    assert carry is not None
    assert carry.keys() == {"hidden", "cell"} | ({"backward_hidden", "backward_cell"} if bidirectional else set())
    assert all(value.any() for value in carry.values())
    assert rows_without_clock(run(broken)) == rows_without_clock(unbroken)


def test_a_flipped_bit_in_the_carried_state_is_noticed(tmp_path):
    place = checkpoints.save(tmp_path, 1, {"w": torch.ones(1)}, {}, {}, {"hidden": torch.ones(2, 3)})
    assert checkpoints.find_damage(place) is None
    file = place / checkpoints.CARRY
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert "carry.safetensors does not match" in (checkpoints.find_damage(place) or "")


def test_micro_batches_do_not_change_a_language_models_losses(tmp_path):
    config = writing_run(tmp_path, recurrent={"dropout": 0.0})
    once = run(config)
    parts = run(changed(config, runs=str(tmp_path / "parts"), training={"gradient_accumulation_steps": 3}))
    found = [[row["loss"] for row in read_metrics(folder.metrics) if "loss" in row] for folder in (once, parts)]
    assert found[1] == pytest.approx(found[0], abs=1e-5)


def test_a_killed_run_that_evaluates_again_replaces_the_text_it_wrote(tmp_path, monkeypatch):
    monkeypatch.setattr("pretrain.models.generation.generate_text", lambda *arguments: "a text")
    logged = iter([0, 1, 1, 2])
    hook = lm_evaluation_hook(
        EvaluationSettings(
            None, None, SimpleNamespace(characters_per_token=4.0), 5, tmp_path / SAMPLES, lambda: next(logged), 0
        )
    )
    # The second evaluation was lost with its process, and is repeated.
    for loss in (4.0, 3.0, 3.5, 2.0):
        hook({"lm_loss": loss})
    samples = [json.loads(line) for line in (tmp_path / SAMPLES).read_text(encoding="utf-8").splitlines()]
    assert [row["eval_lm_loss"] for row in samples] == [4.0, 3.5, 2.0]


def test_a_language_model_learns_and_tells_perplexity_and_bits_a_character(tmp_path):
    folder = run(writing_run(tmp_path, training={"duration": "400 steps"}, recurrent={"dropout": 0.0, "sample": 12}))
    result = folder.result()
    assert result["eval_lm_loss"] < 0.75 * result["eval_unigram_entropy"]
    assert result["eval_perplexity"] == pytest.approx(math.exp(result["eval_lm_loss"]))
    # Words of three to six letters and a space behind each.
    assert 3 < result["eval_lm_loss"] / math.log(2) / result["eval_bits_per_character"] < 7
    samples = [json.loads(line) for line in (folder.path / SAMPLES).read_text(encoding="utf-8").splitlines()]
    assert len(samples) == 4
    assert "the" in samples[-1]["text"]
    text = sample(str(folder.path), "the old", 20, Sampling(temperature=0.5, seed=1))
    assert text.startswith("the old ")
    assert sample(str(folder.path), "the old", 20, Sampling(temperature=0.5, seed=1)) == text
    assert sample(str(folder.path), "the old", 20, Sampling(temperature=2.0, seed=2)) != text


def test_two_processes_carry_the_states_of_their_streams(tmp_path):
    from tests.pretrain.training.test_processes import launched, losses

    config = writing_run(tmp_path, recurrent={"dropout": 0.0}, training={"batch_size": 5})
    alone = run(config)
    together = changed(config, runs=str(tmp_path / "two"))
    launched("pretrain", together, tmp_path)
    folder = run_folder(together)
    assert losses(folder) == pytest.approx(losses(alone), abs=1e-5)
    saved: list[Any] = []
    for place in map(checkpoints.newest, (alone.checkpoints, folder.checkpoints)):
        assert place is not None
        saved.append(checkpoints.load_carry(place, torch.device("cpu")))
    for name in ("hidden", "cell"):
        torch.testing.assert_close(saved[1][name], saved[0][name], rtol=1e-4, atol=1e-5)


# --------------------------------------------------------------------------------------- from one to other


@pytest.mark.parametrize(("objective", "name"), [("causal_lm", "lm-lstm"), ("autoencode", "sa-lstm")])
def test_a_classifier_starts_from_the_recurrence_of_a_model_that_writes(tmp_path, objective, name):
    folder = run(writing_run(tmp_path, objective, recurrent={"bidirectional": True, "layers": 2}))
    tokenizer = load_tokenizer(str(folder.model))
    config = ClassifierConfig(name=name, dropout=0.3, weight_dropout=0.2, pooling="concat", reinitialized_layers=1)
    model: Any = builders.classifier(config, str(folder.model), tokenizer, ["no", "yes"], seed=0)
    kind = builders.AutoModelForCausalLM if objective == "causal_lm" else builders.AutoModelForSeq2SeqLM
    pretrained: Any = kind.from_pretrained(folder.model)
    expected, found = pretrained.recurrent.state_dict(), model.recurrent.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    described = model.config
    assert (described.pooling, described.dropout, described.weight_dropout) == ("concat", 0.3, 0.2)
    assert described.separate_directions == (objective == "causal_lm")
    scratch: Any = builders.classifier(
        ClassifierConfig(name=f"{name}-scratch"), str(folder.model), tokenizer, ["no", "yes"], seed=0
    )
    other = scratch.recurrent.state_dict()
    assert other.keys() == expected.keys()
    assert not torch.equal(other["embeddings.weight"], expected["embeddings.weight"])


FRESH = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
folder, kind, inputs = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
model = {"lm": AutoModelForCausalLM, "s2s": AutoModelForSeq2SeqLM}[kind].from_pretrained(folder, trust_remote_code=True)
with torch.inference_mode():
    logits = model.eval()(**{name: torch.tensor(value) for name, value in inputs.items()}).logits
assert "pretrain" not in sys.modules
print(json.dumps(logits.flatten().tolist()))
"""


@pytest.mark.parametrize("kind", ["lm", "s2s"])
def test_a_fresh_process_loads_what_writes_without_this_package(tmp_path, kind):
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 20, "embedding_size": 6, "hidden_size": 4, "bidirectional": kind == "s2s"}
    made = {"lm": RecurrentForCausalLM, "s2s": RecurrentForSequenceToSequence}[kind](RecurrentConfig(**sizes)).eval()
    made.save_pretrained(tmp_path / "model")
    assert (tmp_path / "model" / "modeling_recurrent_lm.py").is_file()
    inputs = {"input_ids": [[3, 4, 5]]} | ({"decoder_input_ids": [[1, 3]]} if kind == "s2s" else {})
    ended = subprocess.run(
        [sys.executable, "-c", FRESH, str(tmp_path / "model"), kind, json.dumps(inputs)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    with torch.inference_mode():
        expected = made(**{name: torch.tensor(value) for name, value in inputs.items()}).logits
    assert json.loads(ended.stdout.splitlines()[-1]) == pytest.approx(expected.flatten().tolist(), abs=1e-6)


# --------------------------------------------------------------------------------------------- sampling


def test_shares_are_those_of_temperature_top_k_and_top_p():
    scores = torch.tensor([1.0, 3.0, 2.0, 0.0])
    torch.testing.assert_close(probabilities(scores, Sampling(temperature=2.0)), (scores / 2).softmax(-1))
    assert probabilities(scores, Sampling(temperature=0)).tolist() == [0, 1, 0, 0]
    kept = probabilities(scores, Sampling(top_k=2))
    torch.testing.assert_close(kept[[1, 2]], torch.tensor([3.0, 2.0]).softmax(-1))
    assert not kept[[0, 3]].any()
    # The likeliest token alone has 0.64; with the next it is 0.88.
    assert (probabilities(scores, Sampling(top_p=0.6)) > 0).tolist() == [False, True, False, False]
    assert (probabilities(scores, Sampling(top_p=0.7)) > 0).tolist() == [False, True, True, False]
    assert probabilities(scores, Sampling(top_p=1.0)).sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("options", [{"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_what_cannot_be_drawn_from_is_refused(options):
    with pytest.raises(InputError):
        Sampling(**options)


def test_a_model_that_does_not_write_is_refused(tmp_path):
    folder = run(small_run(tmp_path, training={"duration": "1 steps"}))
    with pytest.raises(InputError, match="BertForPreTraining, which cannot generate text"):
        sample(str(folder.path), "", 5, Sampling())


def test_writing_leaves_the_model_as_it_was_and_goes_on_from_the_prompt(tmp_path):
    folder = run(writing_run(tmp_path))
    tokenizer = load_tokenizer(str(folder.model))
    model = builders.AutoModelForCausalLM.from_pretrained(folder.model).train()
    text = generate_text(model, tokenizer, "the boat", 6, Sampling(temperature=0))
    assert model.training
    assert text.startswith("the boat")
    ids = [tokenizer.sep_token_id, *tokenizer.encode("the boat", add_special_tokens=False)]
    with torch.inference_mode():
        for _ in range(6):
            ids.append(int(model.eval()(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    said: Any = tokenizer.decode([i for i in ids if i != tokenizer.sep_token_id])
    assert text.split() == said.split()


def evaluated(folder, **changes):
    """The held-out metrics of a run of one step."""
    return run(writing_run(folder, training={"duration": "1 steps"} | changes.pop("training", {}), **changes)).result()


def test_perplexity_does_not_depend_on_the_batch_size(tmp_path):
    frozen = {"optimizer": {"learning_rate": 1e-9}}
    losses = [
        evaluated(tmp_path, training={"duration": "1 steps", "batch_size": size}, **frozen)["eval_lm_loss"]
        for size in (2, 8, 32)
    ]
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-5)


def test_the_held_out_loss_of_two_directions_counts_both(tmp_path):
    result = evaluated(tmp_path, recurrent={"bidirectional": True})
    assert result["eval_loss"] == pytest.approx(result["eval_lm_loss"] + result["eval_backward_lm_loss"])
    one = evaluated(tmp_path)
    assert one["eval_loss"] == one["eval_lm_loss"]
    assert "eval_backward_lm_loss" not in one


def test_bits_per_character_count_the_characters_of_the_corpus():
    # 15 tokens of ten characters each, and the ends of three documents.
    assert source().held_out().characters_per_token == pytest.approx(153 / 18)
