"""The written rules give settings that every stage accepts."""

import dataclasses
import itertools
from pathlib import Path

import pytest
import yaml

from configs.command_line import load
from finetune.comparison.config import CompareConfig
from finetune.comparison.grid import cell_config, stage_configs
from finetune.own_data import rules
from finetune.own_data.rules import Design, Places
from finetune.own_data.texts import Texts


def facts(
    train: int = 8000, classes: int = 2, characters: int = 10**7, alphabet: int = 90, unlabelled: int = 0
) -> Texts:
    names = [f"class {number}" for number in range(classes)]
    return Texts(train, 2000, unlabelled, names, [train // classes] * classes, characters, alphabet)


def test_budgets_are_quarters_down_to_what_still_holds_every_class() -> None:
    assert rules.label_budgets(facts(8000), 3) == [500, 2000, 8000]
    assert rules.label_budgets(facts(300), 3) == [75, 300]
    assert rules.label_budgets(facts(300, classes=20), 3) == [300]
    assert rules.label_budgets(facts(40), 3) == [40]


def test_the_vocabulary_grows_with_the_text_and_its_alphabet() -> None:
    sizes = [rules.vocabulary_size(facts(characters=characters)) for characters in (10**5, 10**6, 10**8)]
    assert sizes == [2000, 4000, 8000]
    assert rules.vocabulary_size(facts(alphabet=3000)) == 16000


def test_more_time_buys_a_larger_encoder_and_never_more_than_forty_passes() -> None:
    assert [rules.encoder_size(minutes) for minutes in (2, 30)] == ["tiny", "mini"]
    assert rules.pretraining_tokens(10**6, 10**5, 50_000) == 40 * 50_000
    assert rules.pretraining_tokens(1, 10, 10**6) == 20_000


@pytest.mark.parametrize(("size", "long_texts", "unlabelled"), [("tiny", False, 0), ("mini", True, 500)])
def test_every_stage_accepts_the_settings(tmp_path: Path, size: str, long_texts: bool, unlabelled: int) -> None:
    design = Design(size, 2000, 64, long_texts, 128, [100, 400], [0, 1], list(rules.MODELS), 2_500_000, 300_000)
    paths = {
        name: str(tmp_path / f"{name}.yaml")
        for name in ("tokenizer", "pretrain", "language_model", "finetune", "compare")
    }
    texts = facts(400, unlabelled=unlabelled)
    places = Places.of(texts, str(tmp_path), paths, "en")
    for name, keys in rules.stage_settings(design, places, texts).items():
        Path(paths[name]).write_text(yaml.safe_dump(keys))
    comparison = load(CompareConfig, paths["compare"])
    _, stages = stage_configs(comparison)
    assert stages["pretrain"].training.duration == "2.5M tokens"
    assert stages["pretrain"].leakage.drop
    assert stages["pretrain"].corpus.split == ("train+unlabelled" if unlabelled else "train")
    assert stages["language_model"].training.duration == "300k tokens"
    for model, budget in itertools.product(comparison.models, comparison.label_budgets):
        cell, _ = cell_config(comparison, model, budget, 0, {}, {})
        assert cell.test == "test"
        assert cell.model.fits_output_layer == (model in ("bert", "bert-scratch", "bag-of-words", "frozen"))
    recurrent, _ = cell_config(comparison, "lstm", 100, 0, {}, {})
    assert recurrent.optimizer.name == "adamw"
    assert recurrent.token_masking == 0


@pytest.mark.parametrize(
    ("long_texts", "multi_label", "fits"), [(True, False, True), (False, False, False), (True, True, False)]
)
def test_the_encoder_of_long_texts_of_one_class_fits_its_bias_and_others_choose(
    long_texts: bool, multi_label: bool, fits: bool
) -> None:
    design = Design(
        "tiny", 2000, 64, long_texts, 128, [100], [0, 1], ["lstm", "bert-scratch", "frozen", "bert"], 10, 10
    )
    texts = dataclasses.replace(facts(400), multi_label=multi_label)
    stages = {name: name for name in ("tokenizer", "pretrain", "language_model", "finetune")}
    settings = rules.stage_settings(design, Places.of(texts, "data", stages, "en"), texts)
    finetune, models = settings["finetune"], settings["compare"]["models"]
    assert models["bert"] == {}
    encoder = {
        "training.duration": f"4 epochs, at least {200 if fits else 300} steps",
        "training.evaluations": 1 if fits else 4,
        "model.calibrated_bias": fits,
    }
    for key, value in encoder.items():
        part, name = key.split(".")
        assert finetune[part][name] == value
    for model in ("lstm", "bert-scratch", "frozen"):
        keys = encoder | models[model]
        assert (keys["training.duration"], keys["training.evaluations"]) == ("4 epochs, at least 300 steps", 4)
        assert not keys["model.calibrated_bias"]
