"""What leaves the house loads elsewhere: from a folder, and from a server that speaks the Hub's routes."""

import dataclasses
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
import yaml
from transformers import (
    AutoTokenizer,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

from configs.command_line import load
from configs.errors import InputError
from finetune import export as export_module
from finetune.export import ExportConfig
from finetune.export import run as export
from finetune.run import run
from pretrain.config import PretrainConfig
from pretrain.run import run as run_pretraining
from tests.helpers.finetuning import finetune_config, write_yaml
from tests.helpers.hub_server import TOKEN, serving
from tests.helpers.paths import ROOT

CLASSIFY = """
import json, sys
from transformers import pipeline
classify = pipeline("text-classification", model=sys.argv[1], trust_remote_code=sys.argv[2] == "yes")
print(json.dumps([found["label"] for found in classify(["the film was great. the plot was lovely.",
                                                        "the film was awful. the plot was dull."])]))
"""


def elsewhere(program: str, *arguments: str, folder: Path, **environment: str) -> str:
    """The last line that `program` prints in another folder, where none of our code can be imported."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    ended = subprocess.run(
        [sys.executable, "-I", "-c", program, *arguments],
        cwd=folder,
        env=variables | {"HF_HOME": str(folder / "hf")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout.strip().splitlines()[-1]


def export_to_hub(run_folder: Path, name: str, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the export command against the server that `environment` names."""
    variables = {name: value for name, value in os.environ.items() if name not in ("HF_TOKEN", "HF_HUB_OFFLINE")}
    return subprocess.run(
        [sys.executable, "-m", "finetune.export", str(run_folder), "--to", f"hub:{name}", *flags],
        cwd=ROOT,
        env=variables | {"HF_HUB_DISABLE_XET": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("name", "remote_code"), [("bert", "no"), ("bilstm", "yes")])
def test_an_exported_folder_classifies_where_our_code_is_not(
    chain: Path, tmp_path: Path, name: str, remote_code: str
) -> None:
    folder = run(finetune_config(chain, model__name=name))
    target = export(ExportConfig(str(folder.path), str(tmp_path / "out")))
    found = elsewhere(CLASSIFY, target, remote_code, folder=tmp_path)
    assert json.loads(found) == ["positive", "negative"]
    assert (tmp_path / "out" / "modeling_recurrent.py").exists() == (remote_code == "yes")


def test_the_card_tells_data_recipe_and_scores_with_intervals(chain: Path, tmp_path: Path) -> None:
    folder = run(finetune_config(chain, model__name="bert"))
    export(ExportConfig(str(folder.path), str(tmp_path / "out")))
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    accuracy = 100 * folder.result()["test_accuracy"]
    assert f"| {accuracy:.1f} % [" in card
    assert "`labelled`, split `train`" in card
    assert str(chain) not in card
    assert "learning_rate: 0.01" in card


def test_a_pretraining_run_exports_both_heads(chain: Path, tmp_path: Path) -> None:
    (encoder,) = (chain / "runs" / "pretrain").glob("small-*")
    target = export(ExportConfig(str(encoder), str(tmp_path / "out")))
    program = """
import sys
from transformers import AutoModelForMaskedLM, AutoModelForPreTraining, AutoModelForSequenceClassification
for kind in (AutoModelForPreTraining, AutoModelForMaskedLM, AutoModelForSequenceClassification):
    model, report = kind.from_pretrained(sys.argv[1], output_loading_info=True)
    print(kind.__name__, sorted(report["missing_keys"]))
"""
    last = elsewhere(program, target, folder=tmp_path)
    assert last == "AutoModelForSequenceClassification ['classifier.bias', 'classifier.weight']"


def test_publishing_is_one_commit_that_loads_from_the_hub(chain: Path, tmp_path: Path) -> None:
    folder = run(finetune_config(chain, model__name="lstm"))
    with serving() as (address, hub):
        ended = export_to_hub(folder.path, "somebody/small", HF_ENDPOINT=address, HF_TOKEN=TOKEN, HF_HOME=str(tmp_path))
        assert ended.returncode == 0, ended.stderr
        assert f"{address}/somebody/small/commit/" in ended.stdout
        assert len(hub.commits) == 1
        local = {file.name: file.read_bytes() for file in folder.model.iterdir() if file.is_file()}
        published = dict(hub.repositories["somebody/small"])
        assert b"Made with Bertlet" in published.pop("README.md")
        assert published == local
        found = elsewhere(
            CLASSIFY, "somebody/small", "yes", folder=tmp_path, HF_ENDPOINT=address, HF_HUB_OFFLINE="0",
            HF_HUB_DISABLE_XET="1",
        )  # fmt: skip
        assert json.loads(found) == ["positive", "negative"]


WRITTEN = b"# My model\n\nA card that I wrote.\n"


def test_a_repository_that_holds_files_is_changed_on_request_alone(chain: Path, tmp_path: Path) -> None:
    # Once, a hand-written card was replaced, and the special tokens of an earlier model were loaded with the new one.
    folder = run(finetune_config(chain, model__name="lstm"))
    stale = {
        "special_tokens_map.json": b'{"cls_token": "<s>"}',
        "config.json": b"{}",
        "model-00001-of-2.safetensors": b"",
    }
    others = {"README.md": WRITTEN, "notes/thoughts.md": b"mine", "old/config.json": b"{}", ".gitattributes": b""}
    with serving() as (address, hub):
        hub.repositories["somebody/small"] = stale | others
        environment = {"HF_ENDPOINT": address, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path)}
        ended = export_to_hub(folder.path, "somebody/small", **environment)
        assert ended.returncode == 2
        assert not hub.commits
        (line,) = ended.stderr.strip().splitlines()
        assert "replaces config.json; adds BERTLET.md, " in line
        kept, removed = (
            "README.md, notes/thoughts.md, old/config.json",
            "model-00001-of-2.safetensors, special_tokens_map",
        )
        assert f"keeps {kept}; removes {removed}" in line
        assert line.endswith("add --update to do that")
        ended = export_to_hub(folder.path, "somebody/small", "--update", **environment)
        assert ended.returncode == 0, ended.stderr
        published = dict(hub.repositories["somebody/small"])
        assert {name: published.pop(name) for name in others} == others
        assert b"Made with Bertlet" in published.pop("BERTLET.md")
        assert published == {file.name: file.read_bytes() for file in folder.model.iterdir() if file.is_file()}
        # A card that nobody has touched is replaced, and nothing is left beside it.
        hub.repositories["somebody/ours"] = {}
        for flags in ((), ("--update",)):
            assert export_to_hub(folder.path, "somebody/ours", *flags, **environment).returncode == 0
        assert "BERTLET.md" not in hub.repositories["somebody/ours"]


@pytest.mark.parametrize("xet", [None, "http://127.0.0.1:9"])
def test_files_go_by_plain_http_where_the_storage_service_is_out_of_reach(
    chain: Path, tmp_path: Path, xet: str | None
) -> None:
    # Once, this ended after five minutes in a traceback.
    folder = run(finetune_config(chain, model__name="lstm"))
    with serving() as (address, hub):
        hub.xet_address = xet
        environment = {"HF_ENDPOINT": address, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "0"}
        ended = export_to_hub(folder.path, "somebody/small", **environment)
        assert ended.returncode == 0, ended.stderr
        assert "storage service is out of reach" in ended.stderr
        assert "uploading by plain HTTP" in ended.stderr
        assert "model.safetensors" in hub.repositories["somebody/small"]


def test_a_failed_upload_says_what_it_left(chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run(finetune_config(chain, model__name="lstm"))

    def failing(*arguments: Any, **options: Any) -> None:
        raise ConnectionError("Network error: Request middleware error")

    from huggingface_hub import HfApi

    with serving() as (address, hub):
        monkeypatch.setattr(HfApi, "create_commit", failing)
        monkeypatch.setattr("finetune.publishing.hub._avoid_xet_out_of_reach", lambda *_: None)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr(HfApi, "__init__", lambda self, token: _use_server(self, address, token))
        with pytest.raises(InputError, match=r"Network error: .*the new repository is there and holds nothing yet"):
            export(ExportConfig(str(folder.path), "hub:somebody/small"))
        assert hub.repositories == {"somebody/small": {}}


def _use_server(api: Any, address: str, token: str) -> None:
    """What `HfApi` keeps of its arguments."""
    api.endpoint, api.token, api.library_name, api.library_version = address, token, None, None
    api.user_agent, api.headers = None, None


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "HF_TOKEN is not set"),
        ({"HF_TOKEN": "hf_wrong"}, "the Hub refused"),
        ({"HF_TOKEN": TOKEN, "HF_ENDPOINT": "http://127.0.0.1:9"}, "could not be reached"),
    ],
)
def test_publishing_without_leave_or_server_ends_with_one_line(
    chain: Path, environment: dict[str, str], message: str
) -> None:
    folder = run(finetune_config(chain, model__name="lstm"))
    with serving() as (address, hub):
        ended = export_to_hub(folder.path, "somebody/small", **({"HF_ENDPOINT": address} | environment))
        assert ended.returncode == 2
        assert message in ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1
        assert not hub.commits


def test_what_cannot_be_exported_is_refused(chain: Path, tmp_path: Path) -> None:
    bag = run(finetune_config(chain, model__name="bag-of-words"))
    with pytest.raises(InputError, match="has no model/ to export"):
        export(ExportConfig(str(bag.path), str(tmp_path / "out")))
    with pytest.raises(InputError, match="no finished run"):
        export(ExportConfig(str(tmp_path), str(tmp_path / "out")))
    lstm = run(finetune_config(chain, model__name="lstm"))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(InputError, match="not an empty folder"):
        export(ExportConfig(str(lstm.path), str(tmp_path / "taken")))


def test_labels_of_any_text_stay_labels_in_the_card(chain: Path, tmp_path: Path) -> None:
    folder = run(finetune_config(chain, model__name="lstm", name="hostile"))
    result = folder.result() | {"labels": ["<script>alert(1)</script>", "`\n# Heading | x"]}
    text = export_module.model_card(folder, result)
    assert "<script" not in text
    assert "\n# Heading" not in text
    assert "`&lt;script&gt;alert(1)&lt;/script&gt;`, `' # Heading ¦ x`" in text


def run_card(card: str, model: str, folder: Path) -> dict[str, Any]:
    """Run the code of a model card; returns its variables."""
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    (folder / "card.py").write_text(code.replace("PATH_OR_ID", model), encoding="utf-8")
    return runpy.run_path(str(folder / "card.py"))


def checkpoint_of(kind: str, tokenizer_folder: Path, folder: Path) -> str:
    """The folder of an untrained encoder of another architecture."""
    tokenizer: Any = AutoTokenizer.from_pretrained(tokenizer_folder)
    sizes: dict[str, Any] = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    wide: dict[str, Any] = sizes | {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    torch.manual_seed(0)
    models: dict[str, Any] = {
        "roberta": lambda: RobertaForMaskedLM(RobertaConfig(**wide, type_vocab_size=1, max_position_embeddings=40)),
        "modernbert": lambda: ModernBertForMaskedLM(ModernBertConfig(**wide, max_position_embeddings=40)),
        "distilbert": lambda: DistilBertForMaskedLM(
            DistilBertConfig(**sizes, dim=16, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=40)
        ),
    }
    models[kind]().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("name", "head_share", "needs_code"),
    [
        ("bert", 0.0, False),
        ("bert", 0.25, True),
        ("bilstm-attention", 1.0, True),
        ("rnn", 0.25, True),
        ("roberta", 0.0, False),
        ("modernbert", 0.25, True),
        ("distilbert", 1.0, False),
        ("pooled", 0.0, True),
    ],
)
def test_the_card_s_code_gives_the_scores_of_the_test_on_texts_of_any_length(
    chain: Path, tmp_path: Path, name: str, head_share: float, needs_code: bool
) -> None:
    # Ten tokens: nearly every text is cut.
    keys: dict[str, Any] = {"sequence_length": 10, "truncation_head_share": head_share, "training__duration": "8 steps"}
    if name == "pooled":
        name, keys = "bert", keys | {"model__pooling": "attention"}
    if name in ("roberta", "modernbert", "distilbert"):
        (tokenizer,) = (chain / "runs" / "tokenizer").iterdir()
        name = checkpoint_of(name, tokenizer / "model", tmp_path / "checkpoint")
    folder = run(finetune_config(chain, model__name=name, **keys))
    target = export(ExportConfig(str(folder.path), str(tmp_path / "out")))
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert ("trust_remote_code=True" in card) == needs_code
    assert "The model reads 10 tokens." in card
    namespace = run_card(card, target, tmp_path)
    table = pyarrow.parquet.read_table(folder.path / "predictions.parquet")
    texts = table["text"].to_pylist()
    for batch_size in (1, 8):
        scores = namespace["classify"](texts, top_k=None, batch_size=batch_size)
        by_name = [{entry["label"]: entry["score"] for entry in entries} for entries in scores]
        found = np.array([[entry[label] for label in ("negative", "positive")] for entry in by_name])
        assert np.allclose(found, np.array(table["probabilities"].to_pylist()), atol=1e-5)


def test_a_model_with_its_own_truncation_is_not_loaded_without_it(chain: Path, tmp_path: Path) -> None:
    folder = run(finetune_config(chain, model__name="bert", truncation_head_share=0.25))
    with pytest.raises(ValueError, match="both ends"):
        AutoTokenizer.from_pretrained(folder.model, trust_remote_code=False)
    # Our own commands cut texts themselves.
    again = run(
        finetune_config(chain, model__name=str(folder.path), training__duration="1 steps", truncation_head_share=0)
    )
    assert again.result()["test_accuracy"] > 0.6


def test_a_language_model_is_exported_with_a_card_that_loads_it(chain: Path, tmp_path: Path) -> None:
    keys = yaml.safe_load((chain / "pretrain.yaml").read_text(encoding="utf-8"))
    del keys["model"]
    config = load(PretrainConfig, write_yaml(tmp_path / "lm.yaml", keys | {"objective": "causal_lm", "name": "lm"}), {})
    folder = run_pretraining(
        dataclasses.replace(config, training=dataclasses.replace(config.training, duration="2 steps"))
    )
    target = export(ExportConfig(str(folder.path), str(tmp_path / "out")))
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| language-model loss, nats |" in card
    assert str(chain) not in card
    namespace = run_card(card, target, tmp_path)
    assert type(namespace["model"]).__name__ == "RecurrentForCausalLM"


def test_the_card_names_no_private_path(chain: Path, tmp_path: Path) -> None:
    (encoder,) = (chain / "runs" / "pretrain").glob("small-*")
    folder = run(finetune_config(chain, name="by-path", model__name="bert", model__pretrained=str(encoder)))
    export(ExportConfig(str(folder.path), str(tmp_path / "out")))
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"pretrained: {encoder.name}" in card
    assert str(chain) not in card
