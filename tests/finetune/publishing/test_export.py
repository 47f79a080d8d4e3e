"""What leaves the house loads elsewhere: from a folder, and from a server that speaks the Hub's routes."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from transformers import (
    AutoTokenizer,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

import finetune
from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune.classification.calibration import calibrated
from finetune.export import ExportConfig
from finetune.export import run as export
from finetune.run import run
from tests.helpers import forked
from tests.helpers.finetuning import finetune_config
from tests.helpers.http.exports import elsewhere, exported, run_card, shares
from tests.helpers.http.hub_server import TOKEN, Hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")

TEXTS = ["the film was great. the plot was lovely.", "the film was awful. the plot was dull.", "x 漢字 🙂"]
CLASSIFY = """
import json, sys
from transformers import pipeline
assert not {"configs", "tokenizer", "pretrain", "finetune"} & set(sys.modules)
classify = pipeline("text-classification", model=sys.argv[1], revision=sys.argv[2], truncation=True,
                    trust_remote_code=True)
found = classify(json.loads(sys.argv[3]), top_k=None)
print(json.dumps([{entry["label"]: entry["score"] for entry in entries} for entries in found]))
"""


def test_published_and_loaded_elsewhere_it_gives_the_calibrated_scores_of_the_run(
    chain: Path, tmp_path: Path, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    # The whole way: export with its check, one commit, and a process with transformers and torch alone.
    folder = run(finetune_config(chain, model__name="lstm"))
    options: dict[str, Any] = {"revision": "v1", "private": True, "license": "mit"}
    with caplog.at_level("INFO", "finetune"):
        url = exported(folder, Path("hub:somebody/small"), check=True, **options)
    assert "checked: loaded by transformers alone in a fresh process" in caplog.text
    assert "is folded into the output layer" in caplog.text
    assert TOKEN not in caplog.text
    assert len(hub.commits) == 1
    assert hub.private == {"somebody/small": True}
    card = hub.repositories["somebody/small@v1"]["README.md"].decode()
    assert 'model="somebody/small", truncation=True, revision="v1", trust_remote_code=True' in card
    # Written anew, it is the same to the last byte, so the Hub needs no further commit.
    assert exported(folder, Path("hub:somebody/small"), **options) == f"{url} (nothing changed: no new commit)"
    assert len(hub.commits) == 1
    environment = {"HF_ENDPOINT": os.environ["HF_ENDPOINT"], "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    found = elsewhere(CLASSIFY, "somebody/small", "v1", json.dumps(TEXTS), folder=tmp_path, **environment)
    classifier = finetune.load(folder.path, precision="fp32")
    assert classifier.temperature != 1
    assert shares(json.loads(found), classifier.labels) == pytest.approx(classifier.probabilities(TEXTS), abs=1e-5)


def test_without_calibration_the_scores_are_those_of_training(chain: Path, tmp_path: Path) -> None:
    folder = run(finetune_config(chain, model__name="lstm"))
    target = exported(folder, tmp_path / "out", calibrate=False)
    own = finetune.load(folder.path, precision="fp32")
    plain = finetune.load(target, precision="fp32").probabilities(TEXTS)
    assert plain == pytest.approx(calibrated(own.logits(TEXTS), 1.0), abs=1e-5)
    assert plain != pytest.approx(own.probabilities(TEXTS), abs=1e-3)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "which was fitted to the validation texts, is not\nfolded in" in card
    assert "| calibrated (not this model) |" in card


def test_an_output_layer_that_is_not_found_is_no_reason_to_be_silent(
    chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run(finetune_config(chain, model__name="lstm"))

    def none(model: Any) -> None:
        raise InputError("model.classifier_init: no such layer")

    def another(model: Any) -> tuple[Any, str]:
        model.other = torch.nn.Linear(2, 2)
        return model, "other"

    for found, message in ((none, "has no linear output layer"), (another, "does not end in the layer 'other'")):
        monkeypatch.setattr("finetune.classification.frozen.output_layer", found)
        with pytest.raises(InputError, match=f"{message}.*would not be calibrated; --calibrate false exports it as it"):
            exported(folder, tmp_path / "out")
        assert not list(tmp_path.iterdir())
    assert exported(folder, tmp_path / "out", calibrate=False)


@pytest.mark.parametrize("name", ["bag-of-words", "bag-of-words-3"])
def test_bag_of_words_is_exported_for_bertlet_itself(chain: Path, tmp_path: Path, name: str) -> None:
    keys: dict[str, Any] = {"model__name": "bag-of-words"}
    if name.endswith("3"):
        keys |= {"corpus__source": str(three_classes(chain, tmp_path / "labelled")), "name": "three"}
    folder = run(finetune_config(chain, **keys))
    target = exported(folder, tmp_path / "out")
    assert sorted(file.name for file in Path(target).iterdir()) == [
        "README.md", "bag_of_words.json", "bag_of_words.safetensors",
    ]  # fmt: skip
    with pytest.raises(InputError, match=f"^{re.escape(str(folder.path))}: ONNX is for.*bag-of-words is no network"):
        exported(folder, tmp_path / "onnx", onnx=True)
    own, loaded = finetune.load(folder.path), finetune.load(target)
    assert loaded.temperature == own.temperature != 1
    assert loaded.probabilities(TEXTS) == pytest.approx(own.probabilities(TEXTS), abs=1e-9)
    namespace = run_card(Path(target))
    assert namespace["classify"](TEXTS[0]) == own(TEXTS[0])
    assert "library_name: bertlet" in (Path(target) / "README.md").read_text(encoding="utf-8")


def three_classes(chain: Path, folder: Path) -> Path:
    """The labelled texts of the chain, a third of them of another class."""
    shutil.copytree(chain / "labelled", folder)
    for file in folder.iterdir():
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        for row in rows[::3]:
            row |= {"text": f"it was so so. {row['text']}", "label": 2, "label_text": "neutral"}
        file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


WRITTEN = b"# My model\n\nA card that I wrote.\n"


def test_a_repository_that_holds_files_is_changed_on_request_alone(chain: Path, hub: Hub) -> None:
    # Once, a hand-written card was replaced, and the special tokens of an earlier model were loaded with the new one.
    folder = run(finetune_config(chain, model__name="lstm"))
    stale = {
        "special_tokens_map.json": b'{"cls_token": "<s>"}',
        "config.json": b"{}",
        "model-00001-of-2.safetensors": b"",
    }
    others = {"README.md": WRITTEN, "notes/thoughts.md": b"mine", "old/config.json": b"{}", ".gitattributes": b""}
    hub.repositories["somebody/small"] = stale | others
    to = Path("hub:somebody/small")
    with pytest.raises(InputError) as refused:
        exported(folder, to)
    assert not hub.commits
    line = str(refused.value)
    assert "replaces config.json; adds BERTLET.md, " in line
    kept, removed = "README.md, notes/thoughts.md, old/config.json", "model-00001-of-2.safetensors, special_tokens_map"
    assert f"keeps {kept}; removes {removed}" in line
    assert line.endswith("add --update to do that")
    exported(folder, to, update=True)
    published = dict(hub.repositories["somebody/small"])
    assert {name: published.pop(name) for name in others} == others
    assert b"Made with Bertlet" in published.pop("BERTLET.md")
    assert published.keys() == {file.name for file in folder.model.iterdir() if file.is_file()}
    # A card that nobody has touched is replaced, and nothing is left beside it.
    exported(folder, Path("hub:somebody/ours"))
    exported(folder, Path("hub:somebody/ours"), update=True, license="mit")
    assert b"license: mit" in hub.repositories["somebody/ours"]["README.md"]
    assert "BERTLET.md" not in hub.repositories["somebody/ours"]


@pytest.mark.parametrize("xet", [None, "http://127.0.0.1:9", "nonsense"])
def test_files_go_by_plain_http_where_the_storage_service_is_out_of_reach(
    chain: Path, hub: Hub, xet: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Once, this ended after five minutes in a traceback.
    folder = run(finetune_config(chain, model__name="lstm"))
    hub.xet_address = xet
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    with caplog.at_level("INFO", "finetune"):
        exported(folder, Path("hub:somebody/small"))
    assert "storage service is out of reach" in caplog.text
    assert "uploading by plain HTTP" in caplog.text
    assert "model.safetensors" in hub.repositories["somebody/small"]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"HF_TOKEN": ""}, "no token for the Hub: set HF_TOKEN"),
        ({"HF_TOKEN": "hf_wrong"}, "the Hub refused"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "could not be reached"),
    ],
)
def test_publishing_without_leave_or_server_ends_with_one_line(
    chain: Path,
    hub: Hub,
    environment: dict[str, str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    waits: list[float],
) -> None:
    folder = run(finetune_config(chain, model__name="lstm"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message) as refused:
        exported(folder, Path("hub:somebody/small"))
    assert "\n" not in str(refused.value)
    assert not hub.commits
    assert not waits


def test_a_dry_run_needs_no_token_and_no_server(chain: Path, tmp_path: Path) -> None:
    folder = run(finetune_config(chain, model__name="lstm"))
    words = ["-m", "finetune.export", str(folder.path), "--to", "hub:somebody/small", "--dry_run", "--check", "false"]
    ended = forked.run(words, HF_TOKEN="", HF_HOME=str(tmp_path), HF_ENDPOINT="http://127.0.0.1:9")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert re.fullmatch(r"export: 7 files of [\d,]+ bytes would go to somebody/small in one commit:", lines[0])
    assert [re.fullmatch(r"[0-9a-f]{64} +[\d,]+  (\S+)", line)[1] for line in lines[1:]] == [  # ty: ignore
        "README.md", "config.json", "configuration_recurrent.py", "model.safetensors", "modeling_recurrent.py",
        "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip


def test_a_comparison_that_is_none_is_told_before_anything_is_written(chain: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("finetune.publishing.model_folder.write_model", None)
    folder = run(finetune_config(chain, model__name="lstm"))
    with pytest.raises(InputError, match="typo holds no finished run"):
        exported(folder, tmp_path / "out", comparison="typo")


def test_what_cannot_be_exported_is_refused(chain: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run"):
        export(ExportConfig(str(tmp_path), str(tmp_path / "out")))
    lstm = run(finetune_config(chain, model__name="lstm"))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(InputError, match="not an empty folder"):
        exported(lstm, tmp_path / "taken")
    for name, value in {"private": True, "update": True, "revision": "v1", "dry_run": True}.items():
        with pytest.raises(InputError, match=rf"--{name} is about the Hub"):
            exported(lstm, tmp_path / "out", **{name: value})
    (tokenizer,) = (chain / "runs" / "tokenizer").iterdir()
    with pytest.raises(InputError, match="is no run of pretraining or fine-tuning"):
        exported(RunFolder(tokenizer), tmp_path / "out")
    # A copy whose weights are gone.
    copy = shutil.copytree(lstm.path, tmp_path / "copy")
    (copy / "model" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="cannot be loaded"):
        exported(RunFolder(copy), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "taken"]


def test_an_empty_folder_is_taken_and_the_name_is_free_of_traces(chain: Path, tmp_path: Path) -> None:
    folder = run(finetune_config(chain, model__name="lstm"))
    (tmp_path / "empty").mkdir()
    exported(folder, tmp_path / "empty")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    assert {oct(path.stat().st_mode & 0o777) for path in (tmp_path / "empty").iterdir()} == {"0o644"}


def test_what_is_no_file_of_a_model_stays_behind(chain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (encoder,) = (chain / "runs" / "pretrain").glob("small-*")
    copy = shutil.copytree(encoder, tmp_path / encoder.name)
    for name in ("notes.txt", ".env", "training_args.bin"):
        (copy / "model" / name).write_text("secret")
    (copy / "model" / "merges.txt").symlink_to("/etc/hostname")
    # The model itself may lie elsewhere.
    (copy / "model").rename(tmp_path / "elsewhere")
    (copy / "model").symlink_to(tmp_path / "elsewhere")
    with caplog.at_level("INFO", "finetune"):
        exported(RunFolder(copy), tmp_path / "out")
    for name in ("notes.txt", ".env", "training_args.bin", "merges.txt"):
        assert f"{name} stays behind" in caplog.text
        assert not (tmp_path / "out" / name).exists()
    assert (tmp_path / "out" / "model.safetensors").is_file()


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
def test_the_card_s_code_gives_the_calibrated_scores_on_texts_of_any_length(
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
    target = Path(exported(folder, tmp_path / "out"))
    card = (target / "README.md").read_text(encoding="utf-8")
    assert ("trust_remote_code=True" in card) == needs_code
    assert "The model reads 10 tokens." in card
    namespace = run_card(target)
    table = pyarrow.parquet.read_table(folder.path / "predictions.parquet")
    texts = table["text"].to_pylist()
    tested = np.log(np.array(table["probabilities"].to_pylist(), dtype=np.float64))
    expected = calibrated(tested, folder.result()["temperature"])
    for batch_size in (1, 8):
        scores = namespace["classify"](texts, top_k=None, batch_size=batch_size)
        assert shares(scores, ["negative", "positive"]) == pytest.approx(expected, abs=1e-5)


def test_a_model_with_its_own_truncation_is_not_loaded_without_it(chain: Path) -> None:
    folder = run(finetune_config(chain, model__name="bert", truncation_head_share=0.25))
    with pytest.raises(ValueError, match="both ends"):
        AutoTokenizer.from_pretrained(folder.model, trust_remote_code=False)
    # Our own commands cut texts themselves.
    again = run(
        finetune_config(chain, model__name=str(folder.path), training__duration="1 steps", truncation_head_share=0)
    )
    assert again.result()["test_accuracy"] > 0.6
