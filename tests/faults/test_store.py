"""Faults of the checkpoint store, in small; `make faults` is the campaign."""

import pytest

from pretrain.training import checkpoints
from tests.faults import store as faults_store


def test_no_acknowledged_checkpoint_is_lost_to_a_kill(tmp_path):
    found = faults_store.kill_in_save(tmp_path, kills=15)
    assert found["lost"] == 0
    assert found["acknowledged"] > 15, "the kills came too early to mean anything"


def test_the_disk_holds_a_valid_checkpoint_whenever_the_power_fails(tmp_path):
    found = faults_store.power_loss(tmp_path)
    assert found["without a valid checkpoint"] == 0
    assert found["states"] > 100


@pytest.mark.parametrize("forgotten", ["flush", "rename"])
def test_the_check_of_power_loss_sees_a_save_that_is_not_safe(tmp_path, monkeypatch, forgotten):
    if forgotten == "flush":
        monkeypatch.setattr(checkpoints, "flush", lambda path: None)
    else:
        # The old checkpoint deleted before the new one has taken its place.
        original = checkpoints.save

        def save(folder, step, *others):
            for place in checkpoints.list_checkpoints(folder):
                checkpoints._remove(place)
            return original(folder, step, *others)

        monkeypatch.setattr(checkpoints, "save", save)
        faults_store.checkpoints.save(tmp_path / "first", 1, {}, {}, {"step": 1})
    assert faults_store.power_loss(tmp_path)["without a valid checkpoint"] > 0


def test_every_spoiled_byte_is_detected(tmp_path):
    found = faults_store.corruption(tmp_path, places=10)
    assert found["not detected"] == 0
    assert found["tried"] > 150


def test_a_full_disk_keeps_the_old_checkpoint_and_says_so(tmp_path):
    found = faults_store.disk_full(tmp_path, sizes=8)
    assert (found["lost"], found["unclear errors"]) == (0, 0)
    assert 0 < found["full"] < 8


def test_a_link_in_the_place_of_a_checkpoint_is_not_followed(tmp_path):
    outside = tmp_path / "outside"
    (outside / "precious").mkdir(parents=True)
    store = tmp_path / "store"
    faults_store.save(store, 10)
    (store / "step-00000030").symlink_to(outside)
    (store / ".step-00000020").symlink_to(outside)
    assert checkpoints.newest(store) == store / "step-00000010"
    faults_store.save(store, 20)
    (store / ".step-00000030").symlink_to(outside)
    faults_store.save(store, 30)
    checkpoints.prune(store, keep=1)
    assert [place.name for place in checkpoints.list_checkpoints(store)] == ["step-00000030"]
    assert (outside / "precious").is_dir()
