"""What the metadata and the card say of the texts that were tested on, and of the level of a comparison."""

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from configs.run_folder import RunFolder
from finetune.publishing.card import CardOptions, model_card
from finetune.publishing.metadata import ScoredTexts
from finetune.run import run
from tests.finetune.publishing.test_card import compared_folder, copied
from tests.helpers.finetuning import finetune_config


@pytest.fixture(scope="module")
def counted(chain: Path) -> RunFolder:
    """A finished run of bag-of-words."""
    return run(finetune_config(chain, model__name="bag-of-words"))


def test_a_single_file_has_no_splits(counted: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text,label\n", encoding="utf-8")
    card = model_card(copied(counted, tmp_path, corpus__source=str(tmp_path / "reviews.csv")), counted.result())
    described = ModelCard(card).data.to_dict()["model-index"][0]["results"][0]["dataset"]
    assert (described["name"], described.get("split")) == ("reviews.csv", None)
    assert "`reviews.csv`.\n" in card
    assert "for testing: a part of the same source that it was not trained on." in card
    assert "split" not in card


def test_texts_that_were_set_aside_are_no_split(tmp_path: Path) -> None:
    folder, file = tmp_path / "reviews", tmp_path / "gone.csv"
    (folder / "good").mkdir(parents=True)
    (folder / "good" / "a.txt").write_text("A good film.", encoding="utf-8")
    assert ScoredTexts.of({"corpus": {"source": str(folder)}}).split is None
    (folder / "test").mkdir()
    (folder / "test" / "a.txt").write_text("A film.", encoding="utf-8")
    assert ScoredTexts.of({"corpus": {"source": str(folder)}}).split == "test"
    assert ScoredTexts.of({"corpus": {"source": "sample"}}).split == "test"
    assert ScoredTexts.of({"corpus": {"source": str(file)}}).split is None
    assert ScoredTexts.of({"corpus": {"source": str(file), "split": "train"}, "folds": 5}).split is None
    in_folds = {"corpus": {"source": str(folder), "split": "train"}, "folds": 5}
    assert ScoredTexts.of(in_folds).split is None
    (folder / "train.txt").write_text("A film.", encoding="utf-8")
    assert ScoredTexts.of(in_folds).split == "train"


def test_a_folder_that_is_gone_is_not_said_to_have_had_a_test_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It looks like the id of a data set.
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for source in ("gone/reviews", str(tmp_path / "gone"), "gone/*.csv"):
        assert ScoredTexts.of({"corpus": {"source": source}}).split is None
    (tmp_path / "datasets" / "gone___reviews" / "default" / "0.0.0" / ("a" * 40)).mkdir(parents=True)
    assert ScoredTexts.of({"corpus": {"source": "gone/reviews"}}).split == "test"


@pytest.mark.parametrize("split", ["all", "train"])
def test_the_card_names_no_split_of_a_folder_without_splits(counted: RunFolder, tmp_path: Path, split: str) -> None:
    for label in ("good", "bad"):
        (tmp_path / "reviews" / label).mkdir(parents=True)
        (tmp_path / "reviews" / label / "a.txt").write_text(f"A {label} film.", encoding="utf-8")
    changes = {"corpus__source": str(tmp_path / "reviews"), "corpus__split": split}
    card = model_card(copied(counted, tmp_path, **changes), counted.result())
    assert "`reviews`.\n" in card
    assert "split" not in card


@pytest.mark.parametrize(("confidence", "said"), [(0.95, "95 %"), (0.975, "97.5 %"), (0.999, "99.9 %")])
def test_the_level_of_a_comparison_is_not_rounded(
    counted: RunFolder, tmp_path: Path, confidence: float, said: str
) -> None:
    file = compared_folder(tmp_path / "compare", "bert") / "result.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"confidence": confidence}), encoding="utf-8")
    card = model_card(counted, counted.result(), CardOptions(comparison=str(file.parent)))
    assert f"with {said} intervals" in card
