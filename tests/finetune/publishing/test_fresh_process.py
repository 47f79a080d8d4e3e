"""A fresh process answers as the run does, or nothing is exported."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from transformers import AutoModelForMaskedLM, AutoModelForPreTraining, AutoModelForSequenceClassification

import finetune
from configs.command_line import load
from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune.publishing import fresh_process
from finetune.publishing.fresh_process import answers_elsewhere
from finetune.publishing.kinds import CLASSIFIER, Kind
from finetune.run import run
from pretrain.config import PretrainConfig
from pretrain.run import run as run_pretraining
from tests.helpers.finetuning import finetune_config, write_yaml
from tests.helpers.http.exports import exported, run_card

TEXTS = ["the film was great. the plot was lovely.", "the film was awful. the plot was dull.", "x 漢字 🙂"]


def test_the_check_is_of_a_process_that_knows_transformers_alone(chain: Path, tmp_path: Path) -> None:
    folder = run(finetune_config(chain, model__name="bert"))
    target = exported(folder, tmp_path / "out")
    found = answers_elsewhere(Path(target), Kind(CLASSIFIER), TEXTS)
    own = finetune.load(folder.path, precision="fp32")
    assert np.sort(own.probabilities(TEXTS)) == pytest.approx(found["scores"].numpy(), abs=1e-5)
    assert own.logits(TEXTS) / own.temperature == pytest.approx(found["logits"].numpy(), abs=1e-4)
    # Loaded here, the folder has no temperature of its own, and needs none.
    loaded = finetune.load(target, precision="fp32")
    assert loaded.temperature == 1
    assert loaded.probabilities(TEXTS) == pytest.approx(own.probabilities(TEXTS), abs=1e-5)
    settings = json.loads((tmp_path / "out" / "config.json").read_text())
    assert settings["problem_type"] == "single_label_classification"
    assert settings["id2label"] == {"0": "negative", "1": "positive"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found | {"logits": found["logits"] + 0.01}, r"its logits differ by 0\.01; nothing was exported"),
        (lambda found: found | {"scores": found["scores"] * float("nan")}, "its scores differ by inf"),
        (lambda found: {"logits": found["logits"]}, "its scores differ by inf"),
        (lambda found: found | {"logits": found["logits"][:1]}, "its logits differ by inf"),
    ],
)
def test_an_export_that_answers_otherwise_leaves_nothing(
    chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, message: str
) -> None:
    folder = run(finetune_config(chain, model__name="lstm"))
    own = finetune.load(folder.path, precision="fp32")

    def answers(exported_folder: Path, kind: Kind, texts: Any) -> dict[str, torch.Tensor]:
        assert (exported_folder / "model.safetensors").is_file()
        logits = torch.from_numpy(own.logits(texts) / own.temperature).float()
        return change({"logits": logits, "scores": logits.softmax(-1).sort(-1).values})

    monkeypatch.setattr(fresh_process, "answers_elsewhere", answers)
    with pytest.raises(InputError, match=message):
        exported(folder, tmp_path / "below" / "out", check=True)
    assert not list((tmp_path / "below").iterdir())


def test_an_export_that_does_not_load_elsewhere_leaves_nothing(
    chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run(finetune_config(chain, model__name="lstm"))
    original = fresh_process.check

    def spoiled(target: Path, *arguments: Any) -> None:
        (target / "configuration_recurrent.py").unlink()
        original(target, *arguments)

    monkeypatch.setattr(fresh_process, "check", spoiled)
    with pytest.raises(
        InputError, match=r"does not load with transformers alone; nothing was exported .*configuration"
    ):
        exported(folder, tmp_path / "below" / "out", check=True)
    assert not list((tmp_path / "below").iterdir())


def test_a_pretraining_run_exports_both_heads(chain: Path, tmp_path: Path) -> None:
    (encoder,) = (chain / "runs" / "pretrain").glob("small-*")
    target = exported(RunFolder(encoder), tmp_path / "out", check=True)
    kinds: list[Any] = [AutoModelForPreTraining, AutoModelForMaskedLM, AutoModelForSequenceClassification]
    missing = [
        sorted(kind.from_pretrained(target, trust_remote_code=False, output_loading_info=True)[1]["missing_keys"])
        for kind in kinds
    ]
    assert missing == [[], [], ["classifier.bias", "classifier.weight"]]


def pretraining_run(chain: Path, folder: Path, objective: str, **keys: Any) -> RunFolder:
    """A language model or autoencoder of two steps."""
    settings = yaml.safe_load((chain / "pretrain.yaml").read_text(encoding="utf-8"))
    del settings["model"]
    file = write_yaml(folder / f"{objective}.yaml", settings | {"objective": objective, "name": objective} | keys)
    config = load(PretrainConfig, file, {})
    return run_pretraining(
        dataclasses.replace(config, training=dataclasses.replace(config.training, duration="2 steps"))
    )


def test_a_language_model_writes_elsewhere_what_it_writes_here(chain: Path, tmp_path: Path) -> None:
    folder = pretraining_run(chain, tmp_path, "causal_lm")
    # The check compares logits, the likeliest continuation, and one that is drawn.
    target = Path(exported(folder, tmp_path / "out", check=True))
    card = (target / "README.md").read_text(encoding="utf-8")
    assert "| language-model loss, nats |" in card
    assert str(chain) not in card
    namespace = run_card(target)
    assert type(namespace["model"]).__name__ == "RecurrentForCausalLM"
    assert len(namespace["ids"][0]) == len(namespace["prompt"]) + 40
    # Without a prompt, a document begins.
    assert namespace["model"].generate(max_new_tokens=1)[0, 0] == namespace["tokenizer"].sep_token_id


def test_an_autoencoder_s_card_copies_a_text(chain: Path, tmp_path: Path) -> None:
    folder = pretraining_run(chain, tmp_path, "autoencode")
    target = Path(exported(folder, tmp_path / "out"))
    namespace = run_card(target)
    assert type(namespace["model"]).__name__ == "RecurrentForSequenceToSequence"
    assert "pipeline_tag" not in (target / "README.md").read_text(encoding="utf-8")
