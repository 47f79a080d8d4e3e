"""One command from text to report; what is finished is not run again."""

import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import yaml

from configs.command_line import load
from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune import compare
from finetune.classification.predictions import digest_of_test_texts
from finetune.comparison import summary
from finetune.comparison.config import CompareConfig
from finetune.comparison.grid import cell_config, shell_command, with_local_source
from finetune.comparison.running import cells as running
from finetune.comparison.running import subprocesses
from finetune.comparison.running.unfinished import unfinished_runs
from finetune.config import check_model_name
from tests.helpers import forked
from tests.helpers.finetuning import content, write_chain, write_yaml
from tokenizer.corpus.config import CorpusConfig


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the small comparison has run."""
    folder = tmp_path_factory.mktemp("compared")
    write_chain(folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(subprocesses, "run_process", run_forked)
        compare.run(config_in(folder))
    return folder


def run_forked(words: list[str]) -> int:
    assert words[0] == sys.executable
    return forked.run(words[1:]).returncode


def config_in(folder: Path, **overrides: Any) -> CompareConfig:
    return load(CompareConfig, folder / "compare.yaml", overrides)


def report_of(folder: Path) -> Path:
    (run,) = (folder / "runs" / "compare").iterdir()
    return run


def test_every_stage_and_cell_has_run_and_the_report_gives_the_verdict(compared: Path) -> None:
    runs = compared / "runs"
    assert [len(list((runs / stage).iterdir())) for stage in ("tokenizer", "pretrain", "finetune")] == [1, 1, 12]
    result = json.loads((report_of(compared) / "result.json").read_text(encoding="utf-8"))
    page = (report_of(compared) / "report.html").read_text(encoding="utf-8")
    assert len(result["scores"]) == 6
    assert len(result["verdicts"]) == 2
    for sentence in result["verdicts"]:
        assert sentence.replace("'", "&#39;") in page


def test_the_last_line_is_the_command_of_a_page(
    compared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["finetune.compare", "--config", str(compared / "compare.yaml")])
    compare.main()
    words = capsys.readouterr().out.splitlines()[-1].split()
    assert (words[:4], words[-2:]) == (["page:", "python", "-m", "finetune.demo"], ["--serve", "true"])
    configs = [yaml.safe_load((Path(word) / "config.yaml").read_text(encoding="utf-8")) for word in words[4:-2]]
    assert [config["model"]["name"] for config in configs] == ["bert", "lstm", "bag-of-words"]
    assert {(config["label_budget"], config["seed"]) for config in configs} == {(60, 0)}


def test_the_report_is_one_file_that_asks_for_nothing_else(compared: Path) -> None:
    page = (report_of(compared) / "report.html").read_text(encoding="utf-8")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    # A link to the page of the models, which the reader may serve on this machine, is nothing that is asked for.
    assert all(address.startswith(("#", "data:", "http://127.0.0.1:")) for address in addresses)
    # Scores, costs, slices, confidence and the two curves of pretraining, each for a phone and for a wide page.
    assert page.count("<svg") == 2 * 6
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert {address[1:] for address in addresses if address.startswith("#")} <= set(ids)

    class Tags(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            if tag not in ("meta", "link", "br"):
                self.open.append(tag)

        def handle_startendtag(self, tag: str, attrs: Any) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    parser = Tags()
    parser.feed(page)
    assert parser.open == []


def test_the_intervals_hold_the_means_of_the_runs(compared: Path) -> None:
    result = json.loads((report_of(compared) / "result.json").read_text(encoding="utf-8"))
    for score in result["scores"]:
        mean = sum(score["accuracies"]) / len(score["accuracies"])
        assert score["accuracy"]["estimate"] == pytest.approx(mean)
        assert score["accuracy"]["low"] <= mean <= score["accuracy"]["high"]
        best = result["best_unpretrained"][str(score["label_budget"])]
        assert (score["difference"] is None) == (score["model"] == best)


def test_a_second_run_finds_everything_finished(
    compared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was run again")

    monkeypatch.setattr(subprocesses, "run_process", refuse)
    monkeypatch.setattr(running, "in_processes", refuse)
    monkeypatch.setattr(compare, "check_tasks", refuse)
    before = (report_of(compared) / "report.html").stat().st_mtime_ns
    compare.run(config_in(compared))
    assert (report_of(compared) / "report.html").stat().st_mtime_ns == before
    assert capsys.readouterr().out.count("finished: ") == 2


def test_changing_a_key_runs_again_only_what_depends_on_it(
    compared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing: list[str] = []

    def note(cells: Any, *_: Any) -> None:
        missing.extend(cell.model for cell in cells)
        raise InputError("enough")

    monkeypatch.setattr(running, "run_cells", note)
    with pytest.raises(InputError, match="enough"):
        compare.run(config_in(compared, models={"bag-of-words": {}, "lstm": {"model.pooling": "mean"}, "bert": {}}))
    assert missing == ["lstm"] * 4
    missing.clear()
    with pytest.raises(InputError, match="enough"):
        compare.run(config_in(compared, seeds=[0, 1, 2]))
    assert sorted(missing) == ["bag-of-words"] * 2 + ["bert"] * 2 + ["lstm"] * 2
    assert "$ " not in capsys.readouterr().out


def test_what_is_left_of_a_new_pretraining_is_its_own_runs_alone(compared: Path) -> None:
    config = config_in(compared, **{"set.pretrain": {"seed": 5}})
    left = unfinished_runs(config, *compare.begin(config))
    assert sorted(model for model, _ in left) == ["bert"] * 4
    only = config_in(compared, **{"set.pretrain": {"seed": 5}, "models": {"bert": {}}})
    assert len(unfinished_runs(only, *compare.begin(only))) == 4


def test_the_command_of_a_cell_parses_to_its_config(compared: Path) -> None:
    config = config_in(compared)
    cell, overrides = cell_config(config, "lstm", 20, 1, {}, {})
    command = shell_command("finetune", config.finetune, overrides, config)
    from configs.command_line import parse
    from finetune.config import FinetuneConfig

    words = command.split()
    assert words[:3] == ["python", "-m", "finetune"]
    assert parse(FinetuneConfig, "finetune", words[3:]) == cell


def test_a_local_copy_stands_in_for_a_data_set_of_the_hub(tmp_path: Path) -> None:
    (tmp_path / "imdb").mkdir()
    config = CompareConfig(data_folder=str(tmp_path))
    assert with_local_source(CorpusConfig(source="stanfordnlp/imdb"), config).source == str(tmp_path / "imdb")
    assert with_local_source(CorpusConfig(source="stanfordnlp/sst2"), config).source == "stanfordnlp/sst2"
    assert with_local_source(CorpusConfig(source="sample"), config).source == "sample"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_budgets": [20, 500]}, "label_budget: 500 exceeds the 120 labels"),
        ({"models": {"lstm": {"model.poling": "max"}}}, r"model\.poling.*did you mean"),
        ({"models": {"lsmt": {}}}, "unknown model 'lsmt'; did you mean `lstm`"),
        ({"seeds": [1]}, "number_of_seeds"),
        ({"data_folder": "./nowhere"}, "data_folder: no such folder"),
        ({"launcher": "mpirun"}, "launcher"),
        ({"tokenizer": "nowhere.yaml"}, "no such file"),
    ],
)
def test_a_comparison_that_cannot_end_well_is_refused_before_training(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write_chain(tmp_path)
    write_yaml(tmp_path / "compare.yaml", content("compare", tmp_path) | changes)
    with pytest.raises(InputError, match=message):
        compare.run(config_in(tmp_path))
    assert not (tmp_path / "runs").exists()


def test_a_corpus_of_one_document_is_refused_before_training(tmp_path: Path) -> None:
    write_chain(tmp_path)
    (tmp_path / "texts.txt").write_text("One document. It has two sentences.", encoding="utf-8")
    with pytest.raises(InputError, match=r"holds 1 document\(s\)"):
        compare.run(config_in(tmp_path))
    assert not (tmp_path / "runs").exists()


def test_the_report_tells_how_fast_training_was(compared: Path) -> None:
    page = (report_of(compared) / "report.html").read_text(encoding="utf-8")
    (pretrained,) = (compared / "runs" / "pretrain").iterdir()
    result = json.loads((pretrained / "result.json").read_text(encoding="utf-8"))
    assert f"{result['tokens_per_second']:,.0f} real tokens a second: {result['model_gflops']:.0f} useful" in page
    configs = {
        run: yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        for run in (compared / "runs" / "finetune").iterdir()
    }
    rates = [
        json.loads((run / "result.json").read_text(encoding="utf-8"))["tokens_per_second"]
        for run, config in configs.items()
        if (config["model"]["name"], config["label_budget"]) == ("lstm", 60)
    ]
    assert len(rates) == 2
    assert f">{sum(rates) / len(rates):,.0f}</td>" in page


@pytest.mark.parametrize(
    ("count", "environment", "expected"),
    [
        (0, {}, []),
        (3, {}, ["0", "1", "2"]),
        (2, {"CUDA_VISIBLE_DEVICES": "4,GPU-ab"}, ["4", "GPU-ab"]),
        (2, {"ACCELERATE_USE_CPU": "true"}, []),
    ],
)
def test_gpus_are_those_that_cuda_shows(monkeypatch, count, environment, expected):
    for name in ("CUDA_VISIBLE_DEVICES", "ACCELERATE_USE_CPU"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    assert running.gpus() == expected


def test_each_process_of_a_comparison_takes_a_gpu_in_turn(compared, monkeypatch, capsys):
    asked = []

    def in_processes(work, items, processes, imports):
        asked.append((processes, [devices for _, devices, _ in items]))
        return (item for item in ())

    monkeypatch.setattr(running, "gpus", lambda: ["0", "1"])
    monkeypatch.setattr(running, "in_processes", in_processes)
    config = config_in(compared, models={"lstm": {}}, seeds=[0, 1, 2])
    found = compare.grid_cells(config, {"tokenizer": str(next((compared / "runs" / "tokenizer").iterdir()))}, {})
    running.run_cells(found, config_in(compared, processes=None), compare.run_cell)
    assert asked == [(2, [["0", "1"]] * len(found))]
    assert f"{len(found)} runs, 2 at a time" in capsys.readouterr().out


def test_recurrent_models_start_from_stages_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocesses, "run_process", run_forked)
    write_chain(tmp_path)
    for name, objective in (("lm", "causal_lm"), ("autoencoder", "autoencode")):
        keys = content("pretrain", tmp_path) | {"name": name, "objective": objective}
        keys["recurrent"] = {"embedding_size": 16, "hidden_size": 16, "bptt": 8}
        write_yaml(tmp_path / f"{name}.yaml", keys)
    models = {name: {} for name in ("lstm-attention", "lm-lstm", "lm-lstm-scratch", "sa-lstm")}
    config = config_in(
        tmp_path,
        models=models,
        label_budgets=[60],
        language_model=str(tmp_path / "lm.yaml"),
        autoencoder=str(tmp_path / "autoencoder.yaml"),
        **{"set.finetune": {"training.duration": "10 steps"}},
    )
    folder = compare.run(config)
    assert len(list((tmp_path / "runs" / "pretrain").iterdir())) == 2, "no BERT was pretrained for nobody"
    result = folder.result()
    assert [(gain["model"], gain["label_budget"]) for gain in result["gains"]] == [("lm-lstm", 60)]
    scores = {score["model"]: score for score in result["scores"]}
    gain = result["gains"][0]["difference"]
    expected = scores["lm-lstm"]["accuracy"]["estimate"] - scores["lm-lstm-scratch"]["accuracy"]["estimate"]
    assert gain["estimate"] == pytest.approx(expected)
    assert result["best_recurrent"]["60"] in models
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    assert "Against the same model from scratch" in page
    assert "<span>language model</span>" in page
    assert "<span>sequence autoencoder</span>" in page


@pytest.mark.parametrize(
    "name",
    [
        "rnn", "gru", "lstm", "birnn", "bigru", "bilstm", "lstm-attention", "bilstm-attention", "lm-lstm", "sa-lstm",
        "lm-lstm-scratch", "sa-lstm-scratch", "bert", "bert-scratch", "bag-of-words",
    ],
)  # fmt: skip
def test_every_member_is_known_by_name(name: str) -> None:
    check_model_name(name)
    with pytest.raises(InputError, match=f"unknown model '{name}s'"):
        check_model_name(f"{name}s")


def test_a_name_that_is_a_script_is_text_in_the_report(compared: Path) -> None:
    name = "<script>alert(1)</script>"
    models = {name: {"model.name": "bag-of-words"}, "lstm": {"model.pooling": "max"}}
    folder = compare.run(config_in(compared, models=models, name="hostile"))
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    assert re.findall(r"<script.{12}", page, re.DOTALL) == ['<script>\n"use stric']
    assert "&lt;script&gt;" in page


def test_runs_on_other_test_texts_are_not_compared(
    compared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [RunFolder(file.parent) for file in (compared / "runs" / "finetune").glob("*/predictions.parquet")]
    digests = {digest_of_test_texts(folder) for folder in folders}
    assert len(digests) == 1, "the same for every model, seed and budget"
    table = pyarrow.parquet.read_table(folders[0].path / "predictions.parquet")
    texts = ["another", *table["text"].to_pylist()[1:]]
    other = table.set_column(table.schema.get_field_index("text"), "text", [texts])
    pyarrow.parquet.write_table(other, tmp_path / "predictions.parquet")
    assert digest_of_test_texts(RunFolder(tmp_path)) not in digests
    monkeypatch.setattr(summary, "digest_of_test_texts", lambda folder: str(folder.path))
    shutil.rmtree(compared / "runs" / "compare")
    with pytest.raises(InputError, match="the runs at 20 labels were tested on different texts"):
        compare.run(config_in(compared))


def test_several_pretraining_seeds_are_pretrained_and_fine_tuned_from(
    compared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocesses, "run_process", run_forked)
    models = {"lstm": {"model.pooling": "max"}, "bert": {}, "bert-scratch": {}}
    config = config_in(compared, pretraining_seeds=[0, 5], label_budgets=[20], models=models, name="twice")
    result = compare.run(config).result()
    scores = {score["model"]: score for score in result["scores"]}
    assert {model: len(score["accuracies"]) for model, score in scores.items()} == {
        "lstm": 2, "bert": 4, "bert-scratch": 2
    }  # fmt: skip
    # The first is the run that was there, as the seed of its file is 0.
    assert len(list((compared / "runs" / "pretrain").iterdir())) == 2
    page = next((compared / "runs" / "compare").glob("twice-*/report.html")).read_text(encoding="utf-8")
    assert "2 pretraining seeds each" in " ".join(page.split())
    compare.print_table(result["scores"], result["majority"])
    printed = capsys.readouterr().out
    assert "most frequent class" in printed
    assert result["majority"] == 0.5
    assert f"{100 * scores['bert']['accuracy']['estimate']:.1f}" in printed
    with pytest.raises(InputError, match="holds one twice"):
        config_in(compared, pretraining_seeds=[1, 1])
