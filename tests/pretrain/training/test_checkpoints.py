"""The checkpoint store: whole or not there, and the newest whole one is found."""

import json
import os
import shutil

import pytest
import torch

from configs.errors import InputError
from pretrain.training import checkpoints, sharded
from pretrain.training.config import OptimizerConfig
from pretrain.training.optimizer import create_optimizer

STATE = {"step": 3, "window": {"loss": [0.1 + 0.2, 1 / 3]}, "best": None}


def trained(seed, steps=3):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))
    optimizer = create_optimizer(model, OptimizerConfig())
    for _ in range(steps):
        train_one_step(model, optimizer)
    return model, optimizer


def saved(folder, step, model, optimizer, state):
    weights = sharded.weights_of(model)
    return checkpoints.save(folder, step, weights, checkpoints.optimizer_tensors(optimizer), state)


def train_one_step(model, optimizer):
    optimizer.zero_grad()
    model(torch.linspace(-1, 1, 8).view(2, 4)).square().sum().backward()
    optimizer.step()


def three_checkpoints(folder):
    return [saved(folder, step, *trained(step), {"step": step}) for step in (10, 20, 30)]


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_weights_optimizer_and_state_come_back_to_the_last_bit(tmp_path):
    model, optimizer = trained(0)
    place = saved(tmp_path, 3, model, optimizer, STATE)
    other, other_optimizer = trained(1, steps=0)
    assert checkpoints.load(place, other, other_optimizer) == STATE
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    expected, found = checkpoints.optimizer_tensors(optimizer), checkpoints.optimizer_tensors(other_optimizer)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert {name.split(".")[1] for name in found} == {"step", "exp_avg", "exp_avg_sq"}


def test_training_goes_on_from_a_checkpoint_as_if_never_left(tmp_path):
    model, optimizer = trained(0)
    place = saved(tmp_path, 3, model, optimizer, STATE)
    other, other_optimizer = trained(1, steps=0)
    checkpoints.load(place, other, other_optimizer)
    for _ in range(3):
        train_one_step(model, optimizer)
        train_one_step(other, other_optimizer)
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), other.parameters(), strict=True))


def test_weights_alone_can_be_loaded_and_tied_ones_stay_tied(tmp_path):
    model, optimizer = trained(0)
    model.append(torch.nn.Linear(4, 5))
    model[3].weight = model[0].weight
    place = saved(tmp_path, 1, model, optimizer, {})
    other = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2), torch.nn.Linear(4, 5))
    other[3].weight = other[0].weight
    checkpoints.load(place, other)
    assert other[3].weight is other[0].weight
    assert torch.equal(other.get_parameter("0.weight"), model.get_parameter("0.weight"))


def test_a_checkpoint_of_the_first_step_needs_no_optimizer_state(tmp_path):
    model, optimizer = trained(0, steps=0)
    place = saved(tmp_path, 0, model, optimizer, {"step": 0})
    other, other_optimizer = trained(1, steps=0)
    checkpoints.load(place, other, other_optimizer)
    train_one_step(model, optimizer)
    train_one_step(other, other_optimizer)
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), other.parameters(), strict=True))


def test_the_manifest_has_sums_and_sizes_of_all_files(tmp_path):
    place = saved(tmp_path, 1000, *trained(0), STATE | {"step": 1000})
    assert place.name == "step-00001000"
    manifest = json.loads((place / "manifest.json").read_text())
    assert set(manifest) == {file.name for file in place.iterdir()} - {"manifest.json"}
    for name, entry in manifest.items():
        assert entry["bytes"] == (place / name).stat().st_size
        assert len(entry["sha256"]) == 64
    assert checkpoints.find_damage(place) is None


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
def test_a_missing_file_sends_back_to_the_checkpoint_before(tmp_path, name, caplog):
    _, before, last = three_checkpoints(tmp_path)
    (last / name).unlink()
    assert checkpoints.newest(tmp_path) == before
    assert f"{last} is damaged" in caplog.text


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_flipped_bit_sends_back_to_the_checkpoint_before(tmp_path, name, caplog):
    _, before, last = three_checkpoints(tmp_path)
    flip_a_bit(last / name)
    assert checkpoints.newest(tmp_path) == before
    assert f"{name} does not match its SHA-256 sum" in caplog.text


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"model.safetensors": 1}', pytest.param("[" * 100_000, id="nested too deeply")]
)
def test_a_manifest_that_says_nothing_sends_back_to_the_checkpoint_before(tmp_path, content):
    _, before, last = three_checkpoints(tmp_path)
    (last / "manifest.json").write_text(content)
    assert checkpoints.newest(tmp_path) == before


def test_a_truncated_file_sends_back_to_the_checkpoint_before(tmp_path):
    _, before, last = three_checkpoints(tmp_path)
    os.truncate(last / "optimizer.safetensors", 100)
    assert checkpoints.newest(tmp_path) == before


def test_two_damaged_checkpoints_send_back_to_the_first(tmp_path):
    first, before, last = three_checkpoints(tmp_path)
    flip_a_bit(before / "model.safetensors")
    (last / "state.json").unlink()
    assert checkpoints.newest(tmp_path) == first


def test_a_half_written_folder_is_not_seen_and_is_written_over(tmp_path):
    first = saved(tmp_path, 10, *trained(0), {"step": 10})
    staged = tmp_path / ".step-00000020"
    shutil.copytree(first, staged)
    (staged / "manifest.json").unlink()
    assert checkpoints.newest(tmp_path) == first
    second = saved(tmp_path, 20, *trained(1), {"step": 20})
    assert checkpoints.newest(tmp_path) == second
    assert not staged.exists()


def test_saving_the_same_step_again_takes_the_new_content(tmp_path):
    saved(tmp_path, 10, *trained(0), {"turn": 1})
    place = saved(tmp_path, 10, *trained(1), {"turn": 2})
    assert checkpoints.load(place, trained(2)[0]) == {"turn": 2}
    assert checkpoints.find_damage(place) is None


def test_all_damaged_is_refused_and_none_at_all_is_not(tmp_path):
    assert checkpoints.newest(tmp_path) is None
    assert checkpoints.newest(tmp_path / "nowhere") is None
    for place in three_checkpoints(tmp_path):
        flip_a_bit(place / "model.safetensors")
    with pytest.raises(InputError, match="all checkpoints are damaged; delete the folder to start over"):
        checkpoints.newest(tmp_path)


@pytest.mark.parametrize(
    ("keep", "also", "left"), [(2, None, [20, 30]), (1, 10, [10, 30]), (1, 30, [30]), (5, None, [10, 20, 30])]
)
def test_pruning_keeps_the_newest_and_the_one_asked_for(tmp_path, keep, also, left):
    three_checkpoints(tmp_path)
    checkpoints.prune(tmp_path, keep, also)
    assert checkpoints.list_checkpoints(tmp_path) == [checkpoints.path_of(tmp_path, step) for step in left]


def test_the_best_checkpoint_is_checked_before_it_is_loaded(tmp_path):
    _, best, _ = three_checkpoints(tmp_path)
    model, optimizer = trained(0)
    assert checkpoints.load_best(tmp_path, 20, model, optimizer) == {"step": 20}
    expected = checkpoints.optimizer_tensors(trained(20)[1])
    assert all(torch.equal(expected[name], found) for name, found in checkpoints.optimizer_tensors(optimizer).items())
    flip_a_bit(best / "model.safetensors")
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(InputError, match=r"step-00000020, which has the best validation score, is damaged \(model"):
        checkpoints.load_best(tmp_path, 20, model, optimizer)
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_a_checkpoint_of_a_newer_layout_is_refused_and_one_of_an_older_is_read(tmp_path, monkeypatch):
    place = saved(tmp_path, 10, *trained(1), {"step": 10})
    state = json.loads((place / "state.json").read_text())
    assert state == {"step": 10, "schema_version": checkpoints.VERSION}
    monkeypatch.setattr(checkpoints, "VERSION", checkpoints.VERSION - 1)
    with pytest.raises(InputError, match="schema version 1, and this code reads versions up to 0"):
        checkpoints.load(place, trained(2)[0])
    monkeypatch.undo()
    (place / "state.json").write_text(json.dumps({"step": 10}))
    assert checkpoints.load(place, trained(2)[0]) == {"step": 10}


def test_a_checkpoint_under_another_step_s_name_is_not_taken(tmp_path, caplog):
    _, before, last = three_checkpoints(tmp_path)
    last.rename(checkpoints.path_of(tmp_path, 40))
    assert checkpoints.newest(tmp_path) == before
    assert "it is the checkpoint of step 30" in caplog.text


@pytest.mark.parametrize("name", ["../model.safetensors", "folder/state.json"])
def test_a_manifest_does_not_lead_out_of_its_folder(tmp_path, name):
    _, _, last = three_checkpoints(tmp_path)
    manifest = json.loads((last / "manifest.json").read_text())
    (last / "manifest.json").write_text(json.dumps(manifest | {name: manifest["state.json"]}))
    assert checkpoints.find_damage(last) == f"{name} is not a regular file in the checkpoint's folder"


def test_damage_is_told_by_its_kind(tmp_path):
    _, _, last = three_checkpoints(tmp_path)
    (last / "manifest.json").write_text("{}")
    assert checkpoints.find_damage(last) == "KeyError: 'model.safetensors'"


def test_every_fingerprint_is_compared_and_what_one_side_lacks_is_not(tmp_path, caplog):
    saved_prints = {"config": "1", "data": "2", "tokenizer": "3", "older": "x"}
    now = {"config": "1", "data": "2", "tokenizer": "4", "newer": "y"}
    with pytest.raises(InputError, match="another tokenizer: 3 then, 4 now"):
        checkpoints.check_fingerprints(tmp_path, saved_prints, now, accept_changes=False)
    checkpoints.check_fingerprints(tmp_path, saved_prints, now | {"tokenizer": "3"}, accept_changes=False)
    assert not caplog.text
    with caplog.at_level("WARNING"):
        checkpoints.check_fingerprints(tmp_path, saved_prints, now, accept_changes=True)
    assert "another tokenizer (3, now 4)" in caplog.text


def test_the_carried_state_of_a_language_model_comes_back(tmp_path):
    model, optimizer = trained(0)
    weights, means = sharded.weights_of(model), checkpoints.optimizer_tensors(optimizer)
    carry = {"hidden": torch.arange(6.0).view(2, 3).T}
    place = checkpoints.save(tmp_path, 1, weights, means, {}, carry)
    found = checkpoints.load_carry(place, torch.device("cpu"))
    assert found is not None
    assert found.keys() == {"hidden"}
    assert torch.equal(found["hidden"], carry["hidden"])
    assert checkpoints.load_carry(saved(tmp_path, 2, model, optimizer, {}), torch.device("cpu")) is None


def test_states_with_dots_in_their_names_come_back(tmp_path):
    _, optimizer = trained(0)
    for values in optimizer.state.values():
        values["some.average"] = torch.ones(2)
    tensors = checkpoints.optimizer_tensors(optimizer)
    other, other_optimizer = trained(1, steps=0)
    checkpoints.restore_optimizer(other_optimizer, tensors)
    assert checkpoints.optimizer_tensors(other_optimizer).keys() == tensors.keys()
    assert len(list(other.parameters())) == len(other_optimizer.state)
