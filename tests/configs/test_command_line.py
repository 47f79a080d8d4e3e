"""YAML files and overrides → checked configs."""

import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from configs.command_line import load, parse
from configs.errors import InputError, Interrupted, advice_if_interrupted, run_command
from configs.key_check import known_keys
from tests.helpers.paths import ROOT
from tokenizer.config import TokenizerConfig
from tokenizer.corpus.config import CorpusConfig
from tokenizer.run import run

PROGRAM = "python -m tokenizer"


@pytest.fixture
def yaml_file(tmp_path: Path):
    def write(text: str | bytes) -> Path:
        file = tmp_path / "run.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write


def refusal(*arguments: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(TokenizerConfig, PROGRAM, arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_without_a_file():
    assert parse(TokenizerConfig, PROGRAM, []) == TokenizerConfig()


def test_misspelt_yaml_key_names_file_line_and_nearest_key(yaml_file):
    file = yaml_file("name: mine\n\nvocabulary_siz: 90\n")
    assert refusal("--config", str(file)) == (
        f"{file}:3: unknown key `vocabulary_siz`; did you mean `vocabulary_size`?"
    )


def test_misspelt_nested_yaml_key_names_file_line_and_nearest_key(yaml_file):
    file = yaml_file("name: mine\ncorpus:\n  split: all\n  sorce: reviews.csv\n")
    assert refusal(f"--config={file}") == f"{file}:4: unknown key `corpus.sorce`; did you mean `corpus.source`?"


def test_key_at_the_wrong_level_is_pointed_to_its_group(yaml_file):
    file = yaml_file("text_column: review\n")
    assert refusal("--config", str(file)).endswith("unknown key `text_column`; did you mean `corpus.text_column`?")


def test_dotted_yaml_key_is_not_answered_with_itself(yaml_file):
    message = refusal("--config", str(yaml_file("corpus.source: reviews.csv\n")))
    assert "unknown key `corpus.source`" in message
    assert "did you mean `corpus.source`" not in message


def test_unknown_yaml_key_unlike_any_other_gets_no_suggestion(yaml_file):
    file = yaml_file("zzqx: 1\n")
    assert refusal("--config", str(file)) == f"{file}:1: unknown key `zzqx`"


@pytest.mark.parametrize("flag", [["--vocabulary_siz", "90"], ["--vocabulary_siz=90"]])
def test_misspelt_flag_names_the_nearest_flag(flag):
    message = refusal(*flag)
    assert "--vocabulary_siz" in message
    assert message.endswith("did you mean `vocabulary_size`?")


def test_misspelt_nested_flag_names_the_nearest_flag():
    assert refusal("--corpus.sorce", "a.csv").endswith("did you mean `corpus.source`?")


def test_flags_are_not_abbreviated():
    assert "--vocab" in refusal("--vocab", "90")


def test_duplicate_key_names_the_second_line(yaml_file):
    file = yaml_file("name: one\nlowercase: true\nname: two\n")
    assert refusal("--config", str(file)) == f"{file}:3: key `name` is set twice; keep one"


def test_duplicate_nested_key_names_the_second_line(yaml_file):
    file = yaml_file("corpus:\n  split: a\n  split: b\n")
    assert refusal("--config", str(file)) == f"{file}:3: key `corpus.split` is set twice; keep one"


def test_same_key_in_two_groups_is_no_duplicate(yaml_file):
    file = yaml_file("runs: elsewhere\ncorpus:\n  source: sample\n")
    assert load(TokenizerConfig, file) == TokenizerConfig(runs="elsewhere")


@pytest.mark.parametrize("text", ["corpus: [\n", "name: 'open\n", "a: b: c\n", b"\xff\xfe\x00name: x"])
def test_unreadable_yaml_names_the_file(yaml_file, text):
    file = yaml_file(text)
    assert refusal("--config", str(file)).startswith(f"--config {file}: not readable as YAML: ")


def test_yaml_that_is_no_mapping_is_refused(yaml_file):
    file = yaml_file("- name\n- runs\n")
    assert refusal("--config", str(file)) == f"--config {file}: expected `key: value` lines"


def test_missing_file_is_named(tmp_path):
    missing = tmp_path / "nowhere.yaml"
    assert refusal("--config", str(missing)) == f"--config {missing}: no such file"


def test_folder_in_place_of_a_file_is_refused(tmp_path):
    assert str(tmp_path) in refusal("--config", str(tmp_path))


@pytest.mark.parametrize("text", ["", "# name: commented out\n"])
def test_file_without_keys_gives_the_defaults(yaml_file, text):
    assert load(TokenizerConfig, yaml_file(text)) == TokenizerConfig()


@pytest.mark.parametrize("text", [f"seed: {'9' * 5000}\n", "? |\n  seed\n  x\n: 1\n", f"{'a' * 2000}: 1\n"])
def test_whatever_a_file_quotes_the_refusal_is_one_line(yaml_file, text):
    # Found by fuzzing: a traceback about the digits of a number, and a key of several lines.
    assert len(refusal("--config", str(yaml_file(text)))) < 600


@pytest.mark.parametrize("value", ["5", "sample", "", "[a, b]"])
def test_group_given_as_a_plain_value_is_refused_by_name(yaml_file, value):
    assert "corpus" in refusal("--config", str(yaml_file(f"name: mine\ncorpus: {value}\n")))


@pytest.mark.parametrize("text", ["vocabulary_size: many\n", "corpus:\n  format: cvs\n", "lowercase: perhaps\n"])
def test_value_of_the_wrong_type_names_key_and_value(yaml_file, text):
    message = refusal("--config", str(yaml_file(text)))
    key, value = text.split()[-2:]
    assert key.rstrip(":") in message
    assert value in message


@pytest.mark.parametrize(
    ("flag", "key"),
    [
        ("--vocabulary_size=3", "vocabulary_size: 3"),
        ("--maximum_length=0", "maximum_length: 0"),
        ("--corpus.maximum_documents=0", "corpus.maximum_documents: 0"),
        ("--corpus.maximum_sentence_characters=-1", "corpus.maximum_sentence_characters: -1"),
    ],
)
def test_value_below_its_bound_names_key_value_and_bound(flag, key):
    message = refusal(flag)
    assert key in message
    assert "at least" in message


def test_overrides_beat_the_file_wherever_they_stand(yaml_file):
    file = yaml_file("name: mine\nvocabulary_size: 90\ncorpus:\n  source: a.csv\n  split: all\n")
    overridden = ["--vocabulary_size=70", "--corpus.source", "b.csv"]
    config = parse(TokenizerConfig, PROGRAM, ["--config", str(file), *overridden])
    corpus = CorpusConfig(source="b.csv", split="all")
    assert config == TokenizerConfig(name="mine", vocabulary_size=70, corpus=corpus)


def test_later_file_beats_the_earlier(yaml_file, tmp_path):
    second = tmp_path / "second.yaml"
    second.write_text("corpus:\n  split: b\n")
    first = yaml_file("name: mine\ncorpus:\n  split: a\n  language: de\n")
    config = parse(TokenizerConfig, PROGRAM, ["--config", str(first), f"--config={second}"])
    assert config == TokenizerConfig(name="mine", corpus=CorpusConfig(split="b", language="de"))


def test_every_file_is_checked(yaml_file, tmp_path):
    second = tmp_path / "second.yaml"
    second.write_text("nam: mine\n")
    message = refusal("--config", str(yaml_file("name: mine\n")), "--config", str(second))
    assert message == f"{second}:1: unknown key `nam`; did you mean `name`?"


def test_load_equals_parse(yaml_file):
    file = yaml_file("name: mine\ncorpus:\n  labels: [neg, pos]\n  clean_html: false\n")
    overrides = {
        "vocabulary_size": 70,
        "strip_accents": False,
        "corpus.subset": None,
        "corpus.labels": ["a", "b c"],
        "corpus.split": "train+test",
    }
    flags = ["--vocabulary_size=70", "--strip_accents=false", "--corpus.subset=null", '--corpus.labels=["a", "b c"]']
    typed = parse(TokenizerConfig, PROGRAM, ["--config", str(file), *flags, "--corpus.split=train+test"])
    assert load(TokenizerConfig, file, overrides) == typed
    assert typed == TokenizerConfig(
        name="mine",
        vocabulary_size=70,
        strip_accents=False,
        corpus=CorpusConfig(split="train+test", labels=["a", "b c"], clean_html=False),
    )


def test_load_without_overrides_equals_parse(yaml_file):
    file = yaml_file("vocabulary_size: 70\n")
    assert load(TokenizerConfig, file) == parse(TokenizerConfig, PROGRAM, ["--config", str(file)])


def printed_config(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        parse(TokenizerConfig, PROGRAM, [*arguments, "--print_config"])
    assert not caught.value.code
    return capsys.readouterr().out


def test_print_config_shows_every_key_under_its_docstring(capsys):
    lines = printed_config(capsys).splitlines()
    for key in known_keys(TokenizerConfig):
        indent = "  " * key.count(".")
        at = [number for number, line in enumerate(lines) if line.startswith(f"{indent}{key.rsplit('.', 1)[-1]}:")]
        assert len(at) == 1, key
        assert lines[at[0] - 1].strip().startswith("#"), key
    text = " ".join(line.strip().lstrip("# ") for line in lines)
    assert "The column (or JSON key) of the text." in text
    assert "Runs are identified by its content, not by this path." in text
    assert "Maximum number of entries, including the five special tokens; unused by `bytes`." in text


def test_printed_config_can_be_read_back(capsys, yaml_file):
    text = printed_config(capsys, "--vocabulary_size=70", "--corpus.split=all")
    assert load(TokenizerConfig, yaml_file(text)) == TokenizerConfig(
        vocabulary_size=70, corpus=CorpusConfig(split="all")
    )


def test_command_ends_on_an_input_error_with_one_line_and_status_two(capsys):
    with pytest.raises(SystemExit) as caught:
        run_command(PROGRAM, lambda: print(parse(TokenizerConfig, PROGRAM, ["--nam", "x"])))
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"{PROGRAM}: error: ")
    assert captured.err.count("\n") == 1


def test_a_command_for_one_process_is_refused_in_several(capsys, monkeypatch):
    # Once, each process of a launcher ran the whole comparison, whose cells took themselves for parts of one run.
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit) as caught:
        run_command(PROGRAM, lambda: None)
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        f"{PROGRAM}: error: 2 processes were started, and this command is one; start it with `{PROGRAM}`\n"
    )
    run_command(PROGRAM, lambda: None, several_processes=True)
    for alone in ("1", ""):
        monkeypatch.setenv("WORLD_SIZE", alone)
        run_command(PROGRAM, lambda: None)


@pytest.mark.parametrize(
    ("number", "reason"), [(13, "Permission denied"), (30, "Read-only file system"), (20, "Not a directory")]
)
def test_a_path_that_cannot_be_used_ends_in_one_line(capsys, number, reason):
    def fail():
        raise OSError(number, reason, "/data/runs")

    with pytest.raises(SystemExit) as caught:
        run_command(PROGRAM, fail)
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"{PROGRAM}: error: /data/runs: {reason}\n"


def test_runs_that_are_a_file_are_told(tmp_path, capsys):
    (tmp_path / "runs").touch()

    def train():
        run(TokenizerConfig(runs=str(tmp_path / "runs")))

    with pytest.raises(SystemExit) as caught:
        run_command(PROGRAM, train)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "runs") in line


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Interrupted(15)])
@pytest.mark.parametrize("advice", [None, "nothing was written"])
def test_interrupted_command_ends_with_a_status_and_advice_of_its_own(capsys, error, advice):
    def interrupted() -> None:
        raise error

    def advised() -> None:
        with advice_if_interrupted(advice):
            interrupted()

    with pytest.raises(SystemExit) as caught:
        run_command(PROGRAM, interrupted if advice is None else advised)
    assert caught.value.code == 75
    advice = advice or "run the same command again to resume"
    assert capsys.readouterr().err == f"{PROGRAM}: interrupted; {advice}\n"


def test_a_reader_that_has_gone_ends_the_command_without_a_line():
    program = "from configs.errors import run_command\nrun_command('p', lambda: print('a line\\n' * 100_000))"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_full_disk_is_told_whichever_library_met_it(capsys):
    def full():
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(SystemExit) as caught:
        run_command(PROGRAM, full)
    assert caught.value.code == 1
    expected = "stopped: No space left on device; finished work is kept: free disk space and run again"
    assert capsys.readouterr().err == f"{PROGRAM}: {expected}\n"
    with pytest.raises(SafetensorError):
        run_command(PROGRAM, lambda: (_ for _ in ()).throw(SafetensorError("no header")))


@pytest.mark.parametrize(("value", "read"), [("[yes, no]", "True"), ("[a, 0.5]", "0.5"), ("[null]", "None")])
def test_words_that_yaml_reads_as_other_values_are_to_be_quoted(yaml_file, value, read):
    message = refusal(f"--corpus.labels={value}")
    assert message.startswith(f"corpus.labels: {read} is not text; ")
    assert message.endswith("""in quotes: '["yes", "no"]'""")
    assert message == refusal("--config", str(yaml_file(f"corpus:\n  labels: {value}\n")))
    assert parse(TokenizerConfig, PROGRAM, ['--corpus.labels=["yes", "no"]']).corpus.labels == ["yes", "no"]
