"""The commands as a person types them: help, refusals, and what is left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import forked
from tests.helpers.finetuning import write_chain
from tests.helpers.paths import ROOT


def typed(*words: str) -> subprocess.CompletedProcess[str]:
    """A command from the checkout's root."""
    return forked.run(["-m", *words], COLUMNS="120")


def test_a_command_starts_in_a_fresh_interpreter() -> None:
    environment = os.environ | {"COLUMNS": "120"}
    ended = subprocess.run(
        [sys.executable, "-m", "pretrain", "--help"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, typed("pretrain", "--help").stdout, "")


@pytest.mark.parametrize("command", ["tokenizer", "pretrain", "finetune", "finetune.compare", "finetune.export"])
def test_help_explains_the_keys(command: str) -> None:
    ended = typed(command, "--help")
    assert ended.returncode == 0, ended.stderr
    assert "run folder" in ended.stdout or "run's folder" in ended.stdout


def test_the_defaults_can_be_printed_with_their_explanations() -> None:
    ended = typed("pretrain", "--print_config")
    assert ended.returncode == 0, ended.stderr
    assert "# Peak learning rate, at the end of the warm-up" in ended.stdout
    assert "learning_rate: 0.001" in ended.stdout


BAD = {
    "a missing file": (["--corpus.source", "{folder}/nowhere.txt"], "no such file or folder"),
    "an empty corpus": (["--corpus.source", "{folder}/empty.txt"], "holds no document"),
    "a misspelt key": (["--optimizer.learning_rat", "1"], "did you mean `optimizer.learning_rate`"),
    "an unreadable encoding": (["--corpus.source", "{folder}/latin.txt"], "is not utf-8"),
    "a wrong type": (["--training.batch_size", "many"], "batch_size"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_with_one_line_before_training(chain: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.txt").write_text("\n \n", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("Ein schöner Film.\n\nNoch einer.".encode("latin-1"))
    flags, message = BAD[name]
    flags = [flag.format(folder=tmp_path) for flag in flags]
    ended = typed("pretrain", "--config", str(chain / "pretrain.yaml"), *flags, "--runs", str(tmp_path / "runs"),
                  "--tokenizer", str(next((chain / "runs" / "tokenizer").iterdir())))  # fmt: skip
    assert ended.returncode == 2
    lines = [
        line for line in ended.stderr.splitlines() if not line.startswith(("tokens: ", "allocator: ", "threads: "))
    ]
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("python -m pretrain: error: ")
    assert message in lines[0]
    assert not list((tmp_path / "runs").glob("pretrain/*"))


def test_a_misspelt_key_in_a_file_is_refused_by_line(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("name: x\ntraining:\n  batch_sise: 4\n", encoding="utf-8")
    ended = typed("finetune", "--config", str(file))
    assert ended.returncode == 2
    assert ended.stderr == (
        f"python -m finetune: error: {file}:3: unknown key `training.batch_sise`; did you mean `training.batch_size`?\n"
    )


def test_a_label_in_test_that_train_lacks_ends_a_fine_tuning_run(chain: Path, tmp_path: Path) -> None:
    rows = [json.dumps({"text": "the film was good.", "label": 7, "label_text": "odd"})]
    (tmp_path / "test.jsonl").write_text("\n".join(rows), encoding="utf-8")
    flags = ["--test", str(tmp_path / "test.jsonl"), "--model.name", "lstm", "--runs", str(tmp_path / "runs")]
    flags += ["--tokenizer", str(next((chain / "runs" / "tokenizer").iterdir()))]
    ended = typed("finetune", "--config", str(chain / "finetune.yaml"), *flags)
    assert ended.returncode == 2
    last = ended.stderr.strip().splitlines()[-1]
    assert "has the label '7', which the training texts lack; they have 0, 1" in last


def test_a_foreign_package_of_the_same_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "__init__.py").touch()
    program = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; import configs.errors as errors; "
    program += "errors.run_command('python -m pretrain', lambda: None)"
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "the package `tokenizer` comes from" in ended.stderr
    assert "uninstall the other package" in ended.stderr


def test_the_chain_leaves_nothing_outside_its_folder_of_runs(tmp_path: Path) -> None:
    files = write_chain(tmp_path)
    before = {file for file in tmp_path.rglob("*") if file.is_file()}
    ended = typed("tokenizer", "--config", str(files["tokenizer"]))
    assert ended.returncode == 0, ended.stderr
    after = {file for file in tmp_path.rglob("*") if file.is_file()} - before
    assert after
    assert all((tmp_path / "runs") in file.parents for file in after)
