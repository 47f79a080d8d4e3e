"""What stands for a Hub id in digests changes when somebody pushes."""

from collections.abc import Iterator
from pathlib import Path

import datasets.config
import pytest
from huggingface_hub import HfApi, constants
from transformers import AutoConfig, BertConfig

from configs.hub_commit import hub_commit
from pretrain.models.safe_loading import load_arguments
from tests.helpers.http.hub_server import commit_id, serving
from tests.helpers.pretraining import small_tokenizer
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.shards import fingerprint
from tokenizer.run_paths import hub_digest
from tokenizer.vocabulary.serialization import load


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    """Answers are kept for a process; here, tests share one."""
    hub_commit.cache_clear()
    yield
    hub_commit.cache_clear()


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.mark.usefixtures("online")
def test_a_push_to_the_hub_is_another_model_and_another_data_set(monkeypatch):
    seen = []
    with serving() as (address, hub):
        monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", address)
        original = HfApi.__init__
        monkeypatch.setattr(HfApi, "__init__", lambda self: original(self, endpoint=address))
        hub.repositories["some/thing"] = {}
        for _ in range(2):
            hub_commit.cache_clear()
            seen.append((hub_digest("some/thing", None), fingerprint(CorpusConfig(source="some/thing"))))
            hub.heads["some/thing"] = commit_id(1)
    assert seen[0][0] == f"some/thing@{commit_id(0)}"
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]


def test_without_the_hub_the_cache_tells_the_commit(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    assert hub_digest("some/thing", None) == "some/thing"
    before = fingerprint(CorpusConfig(source="some/thing"))
    hub_commit.cache_clear()
    reference = tmp_path / "hub" / "models--some--thing" / "refs" / "main"
    reference.parent.mkdir(parents=True)
    reference.write_text("a" * 40, encoding="utf-8")
    (tmp_path / "datasets" / "some___thing" / "default" / "0.0.0" / ("b" * 40)).mkdir(parents=True)
    (tmp_path / "datasets" / "some___thing" / "default" / "0.0.0" / "b.lock").mkdir()
    assert hub_digest("some/thing", None) == f"some/thing@{'a' * 40}"
    assert hub_commit("some/thing", "dataset") == "b" * 40
    assert fingerprint(CorpusConfig(source="some/thing")) != before
    # One that is pinned stays.
    assert hub_digest("some/thing", "c" * 40) == f"some/thing@{'c' * 40}"


@pytest.mark.usefixtures("online")
def test_a_hub_out_of_reach_is_told_and_no_error(monkeypatch, caplog, tmp_path: Path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    original = HfApi.__init__
    monkeypatch.setattr(HfApi, "__init__", lambda self: original(self, endpoint="http://127.0.0.1:9"))
    with caplog.at_level("INFO"):
        assert hub_digest("some/thing", None) == "some/thing"
    assert "some/thing: the Hub cannot be asked for the commit" in caplog.text


def test_what_is_loaded_is_what_the_digest_names_whoever_pushes_meanwhile(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    tokenizer = load(small_tokenizer(tmp_path))
    repository = tmp_path / "models--some--thing"
    for layers, commit in enumerate(("a" * 40, "b" * 40), start=1):
        folder = repository / "snapshots" / commit
        tokenizer.model_max_length = 8 * layers
        tokenizer.save_pretrained(folder)
        BertConfig(num_hidden_layers=layers).save_pretrained(folder)
    reference = repository / "refs" / "main"
    reference.parent.mkdir()
    reference.write_text("a" * 40, encoding="utf-8")
    assert hub_digest("some/thing", None) == f"some/thing@{'a' * 40}"
    reference.write_text("b" * 40, encoding="utf-8")
    assert load("some/thing").model_max_length == 8
    assert AutoConfig.from_pretrained("some/thing", **load_arguments("some/thing")).num_hidden_layers == 1
