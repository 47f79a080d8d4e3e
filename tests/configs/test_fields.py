"""Renamed and added keys: refused by their former names, and without a change of digest."""

import dataclasses
import hashlib
import json

import pytest

from configs.command_line import load, parse
from configs.errors import InputError
from configs.fields import added_later, digested, outside_digest, renamed
from configs.run_folder import digest
from finetune.config import FinetuneConfig
from pretrain.config import PretrainConfig
from pretrain.models.config import ClassifierConfig
from pretrain.training.config import SpeedConfig, TrainingConfig

PROGRAM = "python -m pretrain"


@pytest.mark.parametrize(
    ("config_class", "flags", "message"),
    [
        (PretrainConfig, ["--model.start", "cooccurrence"], "`model.start` was renamed to `model.embedding_init`"),
        (PretrainConfig, ["--model.start=random"], "`model.start` was renamed to `model.embedding_init`"),
        (PretrainConfig, ["--pairs", "faithful"], "`pairs: faithful` was renamed to `bert`"),
        (PretrainConfig, ["--pairs=faithful"], "`pairs: faithful` was renamed to `bert`"),
        (FinetuneConfig, ["--model.fresh_layers", "1"], "was renamed to `model.reinitialized_layers`"),
        (FinetuneConfig, ["--head_share", "0.5"], "`head_share` was renamed to `truncation_head_share`"),
    ],
)
def test_a_former_name_is_refused_with_the_name_now(config_class, flags, message):
    with pytest.raises(InputError) as caught:
        parse(config_class, PROGRAM, flags)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("config_class", "text", "message"),
    [
        (PretrainConfig, "name: a\nmodel:\n  start: cooccurrence\n", ":3: `model.start` was renamed to"),
        (PretrainConfig, "pairs: faithful\n", ":1: `pairs: faithful` was renamed to `bert`"),
        (FinetuneConfig, "head_share: 0.5\n", ":1: `head_share` was renamed to `truncation_head_share`"),
    ],
)
def test_a_former_name_in_a_file_is_refused_with_its_line(config_class, text, message, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load(config_class, file)
    assert f"{file}{message}" in str(caught.value)


def test_the_value_of_another_key_may_be_a_former_name():
    assert parse(PretrainConfig, PROGRAM, ["--name", "faithful"]).name == "faithful"
    assert parse(PretrainConfig, PROGRAM, ["--pairs", "balanced"]).pairs == "balanced"


def test_digests_know_renamed_keys_by_their_former_names():
    values = digested(PretrainConfig())
    assert values["pairs"] == "faithful"
    assert values["model"]["start"] == "random"
    assert "embedding_init" not in values["model"]
    assert "name" not in values["optimizer"]
    assert digested(PretrainConfig(pairs="balanced"))["pairs"] == "balanced"
    assert digested(FinetuneConfig(truncation_head_share=0.25))["head_share"] == 0.25
    assert digested(FinetuneConfig())["test"] == "test"


def test_the_precision_of_a_run_is_in_its_digest_and_other_switches_of_speed_are_not():
    def speed(**keys):
        return digested(PretrainConfig(training=TrainingConfig(speed=SpeedConfig(**keys))))["training"].get("speed")

    assert speed() is None
    assert speed(allocator=False, tf32=False, compile=True) is None
    assert speed(precision="bf16") == {"precision": "bf16"}


def test_a_default_that_means_the_same_has_the_former_digest_and_its_former_value_another():
    def pooling(**keys):
        return digested(ClassifierConfig(**keys))["pooling"]

    assert pooling() == "mean"
    assert pooling(pooling="mean") == "mean of tokens"
    assert pooling(pooling="max") == "max"


def test_a_digest_is_of_what_decides_the_result():
    @dataclasses.dataclass
    class Config:
        seed: int = 0
        plan: str = renamed("new", "kind", {"new": "old"})
        rule: str = added_later("usual")
        runs: str = outside_digest("runs")

    content = json.dumps([{"seed": 0, "kind": "old"}, ["up"]], sort_keys=True)
    assert digest(Config(), ["up"]) == hashlib.sha256(content.encode()).hexdigest()[:10]
    assert digest(Config(runs="elsewhere"), ["up"]) == digest(Config(), ["up"])
    assert len({digest(config, ["up"]) for config in (Config(), Config(seed=1), Config(rule="other"))}) == 3
