"""Faults of what a run is given, in small; `make faults` is the campaign."""

import ast
import json
import os

import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune.classification import labels
from finetune.own_data import sources, texts
from finetune.own_data.config import OwnDataConfig
from pretrain.data.store import prepare, store_folder
from tests.faults import input as faults_input
from tests.helpers.paths import ROOT
from tests.helpers.pretraining import small_tokenizer
from tokenizer import run
from tokenizer.config import TokenizerConfig
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import read as read_documents
from tokenizer.corpus.quarantine import Quarantine
from tokenizer.corpus.shards import fingerprint


def test_every_dirty_row_is_accounted_for(tmp_path):
    found = faults_input.dirty_rows(tmp_path, rows=2000)
    assert found["unaccounted"] == 0
    assert min(found["kept"], found["empty"], found["set aside"]) > 50


def test_rows_of_a_table_that_are_ragged_cost_themselves_alone(tmp_path):
    found = faults_input.ragged_tables(tmp_path, rows=300)
    assert found["kept"] == found["sound"]
    assert found["kept"] + found["set aside"] == 300


def test_names_of_files_need_not_be_utf_8(tmp_path):
    for number in range(20):
        file = tmp_path / "data" / ("good", "bad")[number % 2] / os.fsdecode(b"caf\xe9%d.txt" % number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"text number {number} of twenty")
    corpora = sources.find_sources(OwnDataConfig(labelled=str(tmp_path / "data")))
    assert len(fingerprint(corpora.labelled)) == 10
    texts.write(corpora, tmp_path / "out", 10**9)
    places = pyarrow.parquet.read_table(tmp_path / "out" / "train.parquet")["_place"].to_pylist()
    assert all("/caf\\udce9" in place for place in places)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.fixed_dictionaries({}, optional={"text": JSON, "label": JSON}) | JSON, min_size=1, max_size=20))
def test_whatever_json_holds_is_kept_empty_or_set_aside(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_bytes(b"\n".join(json.dumps(row).encode() for row in rows))
    for labelled in (False, True):
        quarantine = Quarantine(limit=1.0)
        try:
            kept = len(list(read_documents(CorpusConfig(source=str(file)), labelled, quarantine)))
        except InputError as error:
            assert "holds no document" in str(error)  # noqa: PT017
            kept = 0
        assert kept + quarantine.empty + len(quarantine.set_aside) == len(rows)


def rows_of(tmp_path, bad, good):
    file = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": f"The cat number {number} sat.", "label": number % 2}) for number in range(good)]
    file.write_text("\n".join([*lines, *bad]) + "\n", encoding="utf-8")
    return CorpusConfig(source=str(file))


def test_what_was_set_aside_is_listed_beside_the_store_with_its_place(tmp_path, caplog):
    source = rows_of(tmp_path, ['{"text": 7}', "{"], good=300)
    tokenizer = small_tokenizer(tmp_path / "tokenizer")
    folder = store_folder(source, "digest", str(tmp_path / "runs"))
    assert prepare(source, tokenizer, folder).document_count == 300
    counts, *listed = map(json.loads, (folder.path / "quarantine.jsonl").read_text().splitlines())
    assert counts == {"rows": 302, "empty_rows": 0, "other_label_rows": 0, "set_aside_rows": 2}
    assert [row["place"] for row in listed] == [f"{source.source}:301", f"{source.source}:302"]
    assert listed[0]["reason"] == "column 'text' holds int, not text"
    assert f"2 of 302 rows set aside: {folder.path / 'quarantine.jsonl'}" in caplog.text
    assert folder.result()["set_aside_rows"] == 2


def test_a_shard_without_its_list_is_made_again(tmp_path):
    source = rows_of(tmp_path, ["{"], good=300)
    tokenizer = small_tokenizer(tmp_path / "tokenizer")
    folder = store_folder(source, "digest", str(tmp_path / "runs"))
    prepare(source, tokenizer, folder)
    (folder.path / "result.json").unlink()
    for file in (folder.path / "quarantine").iterdir():
        file.unlink()
    assert prepare(source, tokenizer, folder).document_count == 300
    assert folder.result()["set_aside_rows"] == 1


def test_a_tokenizer_run_lists_them_too(tmp_path):
    source = rows_of(tmp_path, ["{"], good=300)
    folder = run.run(TokenizerConfig(corpus=source, vocabulary_size=60, runs=str(tmp_path / "runs")))
    assert len((folder.path / "quarantine.jsonl").read_text().splitlines()) == 2
    assert folder.result()["set_aside_rows"] == 1


def test_too_large_a_share_stops_the_run_and_a_larger_limit_lets_it_pass(tmp_path):
    source = rows_of(tmp_path, ["{"] * 5, good=300)
    with pytest.raises(InputError, match=r"a\.jsonl:301: not JSON .*5 of 305 rows .*maximum_set_aside is 0.01"):
        list(read_documents(source))
    wider = CorpusConfig(source=source.source, maximum_set_aside=0.02)
    assert len(list(read_documents(wider))) == 300


def test_a_hopeless_file_is_given_up_early(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text("{\n" * 100_000)
    quarantine = Quarantine(limit=0.01)
    with pytest.raises(InputError, match="1000 of 1000 rows"):
        list(read_documents(CorpusConfig(source=str(file)), quarantine=quarantine))
    assert quarantine.rows == 1000


@pytest.mark.parametrize(
    ("text", "kept"),
    [("NA", "NA"), ("a\0b" + "c" * 200, "ab" + "c" * 200), ("\ud83d!", "?!"), ("x" * 10_000, "x" * 10_000)],
)
def test_rules_of_cleaning(tmp_path, text, kept):
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"text": text}))
    assert [document.text for document in read_documents(CorpusConfig(source=str(file)))] == [kept]


@pytest.mark.parametrize(
    ("text", "reason"), [("x" * 10_001, "a word of 10001 letters"), ("a\0" * 9, "1 % of the text")]
)
def test_rules_of_setting_aside(tmp_path, text, reason):
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"text": text}))
    with pytest.raises(InputError, match=reason):
        list(read_documents(CorpusConfig(source=str(file))))


def test_every_misspelt_key_is_refused_with_the_nearest_name(tmp_path):
    for found in (faults_input.misspelt_keys(tmp_path), faults_input.misspelt_overrides()):
        assert found["accepted"] == found["without a suggestion"] == 0
        assert found["keys"] > 20


def test_hostile_files_are_refused_and_nothing_of_them_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = faults_input.hostile_files(tmp_path)
    assert set(found.values()) == {"refused"}
    assert len(found) >= 19
    assert not (tmp_path.parent / "out.txt").exists()


def test_the_payload_of_these_tests_would_run(tmp_path):
    function, arguments = faults_input.Payload(tmp_path / "trace").__reduce__()
    function(*arguments)
    assert (tmp_path / "trace").is_dir()


def test_the_chain_needs_no_network(tmp_path):
    assert faults_input.offline(tmp_path) == {"exit status": 0, "attempts": 0}


FORBIDDEN_CALLS = {
    "eval", "exec", "torch.load", "torch.hub.load", "pickle.load", "pickle.loads", "marshal.loads", "joblib.load",
    "numpy.load", "np.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen",
    "evaluate.load", "shutil.unpack_archive", "tarfile.open", "zipfile.ZipFile",
}  # fmt: skip
FORBIDDEN_IMPORTS = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "tarfile", "zipfile"}
SOURCES = [
    file
    for room in ("configs", "tokenizer", "pretrain", "finetune", "benchmarks")
    for file in (ROOT / room).rglob("*.py")
]


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_code_that_runs_what_it_reads(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in FORBIDDEN_CALLS
            for keyword in node.keywords:
                shown = ast.unparse(keyword.value)
                assert (keyword.arg, shown) not in {("shell", "True"), ("weights_only", "False")}
            if ast.unparse(node.func).endswith(".from_pretrained"):
                told = {keyword.arg or ast.unparse(keyword.value) for keyword in node.keywords}
                assert told & {"trust_remote_code", "options"} or any(
                    "SAFE" in t or "load_arguments(" in t for t in told
                ), ast.unparse(node)
        if isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names} & FORBIDDEN_IMPORTS
        if isinstance(node, ast.ImportFrom):
            assert node.module not in FORBIDDEN_IMPORTS


@pytest.mark.parametrize("name", ["..", "a/b", "a\\b", "", ".hidden", "a\0b", "a\nb", "x" * 200])
def test_names_never_leave_the_folder_of_runs(tmp_path, name):
    with pytest.raises(InputError, match="not a plain folder name"):
        RunFolder.of("tokenizer", TokenizerConfig(name=name, runs=str(tmp_path)), [])


@pytest.mark.parametrize("source", ["..", ".", "a b?.txt", "*.jsonl", "ünïcode.txt", "-"])
def test_a_source_of_any_name_has_a_store_below_the_folder_of_runs(tmp_path, source, monkeypatch):
    monkeypatch.setattr("tokenizer.corpus.shards.fingerprint", lambda corpus: "0" * 10)
    folder = store_folder(CorpusConfig(source=source), "digest", str(tmp_path))
    assert folder.path.parent == tmp_path / "tokens"


def test_a_token_stays_out_of_every_file(tmp_path, monkeypatch, caplog):
    token = "hf_" + "secretsecretsecret"
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.setenv(name, token)
    source = rows_of(tmp_path, [], good=100)
    run.run(TokenizerConfig(corpus=source, vocabulary_size=60, runs=str(tmp_path / "runs")))
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(written) > 4
    assert not [file for file in written if token.encode() in file.read_bytes()]
    assert token not in caplog.text
    assert os.environ["HF_TOKEN"] == token


def test_a_word_among_numbers_is_set_aside_with_its_place(tmp_path):
    source = rows_of(tmp_path, ['{"text": "x", "label": "pos"}'], good=200)
    quarantine = Quarantine(limit=0.01)
    assert len(list(read_documents(source, labelled=True, quarantine=quarantine))) == 200
    (row,) = quarantine.set_aside
    assert row["place"] == f"{source.source}:201"
    assert row["reason"] == "column 'label' holds the string 'pos', but the first label is a number"


def test_labels_of_mixed_kinds_are_named(tmp_path):
    with pytest.raises(InputError, match="mixes numbers and strings as labels"):
        labels.label_set([0, 1, "pos"], {0: "0", 1: "1", "pos": "pos"}, CorpusConfig())
