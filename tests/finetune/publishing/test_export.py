"""What leaves the house loads elsewhere: from a folder, and from a server that speaks the Hub's routes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from configs.errors import InputError
from finetune import export as export_module
from finetune.export import ExportConfig
from finetune.export import run as export
from finetune.run import run
from tests.helpers.finetuning import finetune_config
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


def export_to_hub(run_folder: Path, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the export command against the server that `environment` names."""
    variables = {name: value for name, value in os.environ.items() if name not in ("HF_TOKEN", "HF_HUB_OFFLINE")}
    return subprocess.run(
        [sys.executable, "-m", "finetune.export", str(run_folder), "--to", f"hub:{name}"],
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
    assert str(chain) not in card.replace(str(chain / "pretrain.yaml"), "")
    assert "learning_rate: 0.01" in card


def test_a_pretraining_run_exports_both_heads(chain: Path, tmp_path: Path) -> None:
    (encoder,) = (chain / "runs" / "pretrain").iterdir()
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
