"""Faults of what a run is given: dirty rows, misspelt keys, hostile files, no network. Each gives what it found."""

import dataclasses
import io
import json
import os
import pickle
import random
import string
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from configs.command_line import load
from configs.errors import InputError
from configs.key_check import known_keys
from finetune.comparison.config import CompareConfig
from finetune.comparison.grid import cell_config
from finetune.config import FinetuneConfig, check_model_name
from pretrain.config import PretrainConfig
from tests.helpers.finetuning import write_chain
from tests.helpers.paths import ROOT
from tokenizer.config import TokenizerConfig
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import read as read_documents
from tokenizer.corpus.quarantine import Quarantine

STAGES: dict[str, Any] = {
    "tokenizer": TokenizerConfig,
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
    "compare": CompareConfig,
}
TEXTS = (
    "a fine film", "NA", "null", "", "  ", "\0", "a\0b" + "c" * 300, "\ud83d", "\udc80", "\ufeff", "\u202e",
    "x" * 20_000,
    "<br />", "&nbsp;", '"', "'; drop table", "a,b", "line\nend", "\r", "é", "日本語", "🙂", "[SEP]", "nan",
)  # fmt: skip
BERT = {
    "model_type": "bert",
    "vocab_size": 9,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 8,
}
OTHERS = (None, 7, 1.5, float("nan"), float("inf"), True, [], {}, ["text"], {"a": 1}, 10**30)
LABELS = (0, 1, "pos", "0", "", " ", None, float("nan"), 0.5, 1.0, True, [], 10**20, "NA", -1)


def a_row(rng: random.Random) -> bytes:
    """A line of JSON lines, more or less spoiled."""
    kind = rng.random()
    text: Any = rng.choice(TEXTS) if rng.random() < 0.7 else rng.choice(OTHERS)
    if rng.random() < 0.2:
        text = "".join(chr(rng.randrange(0x20, 0x2FFF)) for _ in range(rng.randrange(60)))
    row: dict[str, Any] = {"text": text, "label": rng.choice(LABELS)}
    if kind < 0.08:
        row.pop(rng.choice(("text", "label")))
    line = json.dumps(row, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    if kind > 0.92:
        return line[: rng.randrange(len(line) + 1)]
    if kind > 0.84:
        place = rng.randrange(len(line) + 1)
        return line[:place] + bytes([rng.choice((0xFF, 0xC3, 0x80, 0x00, 0x7B))]) + line[place:]
    if kind > 0.82:
        return rng.choice((b"[]", b"null", b"7", b"[" * 5000, b'"text"', b"1" * 6000, b"{}", b"\xef\xbb\xbf{}"))
    return line


def dirty_rows(folder: Path, rows: int, seed: int = 0) -> dict[str, int]:
    """Fuzzed JSON lines and CSV; every line has to be kept, found empty, or set aside with its place and reason."""
    rng = random.Random(seed)
    lines = [a_row(rng).replace(b"\n", b" ").replace(b"\r", b" ") for _ in range(rows)]
    file = folder / "rows.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")
    given = sum(bool(line.decode("utf-8", "surrogateescape").strip()) for line in lines)
    kept = empty = aside = unaccounted = 0
    for labelled in (False, True):
        quarantine = Quarantine(limit=1.0)
        source = CorpusConfig(source=str(file), maximum_set_aside=1.0)
        found = list(read_documents(source, labelled, quarantine))
        for document in found:
            document.text.encode()
            assert document.text.strip()
            assert "\0" not in document.text
        kept += len(found)
        empty += quarantine.empty
        aside += len(quarantine.set_aside)
        unaccounted += given - len(found) - quarantine.empty - len(quarantine.set_aside)
        assert all(row["place"].startswith(f"{file}:") and row["reason"] for row in quarantine.set_aside)
    return {"rows": 2 * given, "kept": kept, "empty": empty, "set aside": aside, "unaccounted": unaccounted}


def ragged_tables(folder: Path, rows: int, seed: int = 0) -> dict[str, int]:
    """A CSV file of which some rows have too few or too many cells, stray quotes, or bytes of another encoding."""
    rng, lines, sound = random.Random(seed), [b"text,label"], 0
    for number in range(rows):
        kind = rng.randrange(6)
        # Quotes are text here, as no field of the file is quoted.
        spoiled = [b"only text", b"a,b,c", b"caf\xe9,1", b'"a"b,1']
        lines.append(spoiled[kind] if kind < len(spoiled) else f"row {number},{number % 2}".encode())
        sound += kind >= len(spoiled) - 1
    file = folder / "rows.csv"
    file.write_bytes(b"\n".join(lines) + b"\n")
    quarantine = Quarantine(limit=1.0)
    kept = len(list(read_documents(CorpusConfig(source=str(file)), labelled=True, quarantine=quarantine)))
    return {"rows": rows, "sound": sound, "kept": kept, "set aside": len(quarantine.set_aside)}


def misspelt(key: str, rng: random.Random) -> str:
    """A key with a letter left out, doubled, exchanged or changed."""
    place = rng.randrange(len(key))
    changed = (
        key[:place] + key[place + 1 :],
        key[:place] + key[place] + key[place:],
        key[:place] + key[place + 1 : place + 2] + key[place] + key[place + 2 :],
        key[:place] + rng.choice(string.ascii_lowercase) + key[place + 1 :],
    )
    return rng.choice([word for word in changed if word and word != key] or [f"{key}x"])


def misspelt_keys(folder: Path, seed: int = 0) -> dict[str, int]:
    """Every key of every shipped file, misspelt once: refused with the nearest name."""
    rng, tried, accepted, without_hint = random.Random(seed), 0, 0, 0
    for stage, kind in STAGES.items():
        known = set(known_keys(kind))
        for shipped in sorted((ROOT / "configs" / stage).glob("*.yaml")):
            content = yaml.safe_load(shipped.read_text(encoding="utf-8"))
            for path in [path for path in paths_of(content) if ".".join(path) in known]:
                wrong = misspelt(path[-1], rng)
                while ".".join((*path[:-1], wrong)) in known:
                    wrong = misspelt(path[-1], rng)
                file = folder / "mutated.yaml"
                file.write_text(yaml.safe_dump(renamed(content, path, wrong), sort_keys=False), encoding="utf-8")
                tried += 1
                try:
                    load(kind, file)
                    accepted += 1
                except InputError as error:
                    without_hint += "did you mean" not in str(error)
    return {"keys": tried, "accepted": accepted, "without a suggestion": without_hint}


def misspelt_overrides(seed: int = 0) -> dict[str, int]:
    """Every key that a comparison changes in its runs, and every model's name, misspelt once."""
    rng, tried, accepted, without_hint = random.Random(seed), 0, 0, 0
    for shipped in sorted((ROOT / "configs" / "compare").glob("*.yaml")):
        config = load(CompareConfig, shipped)
        for name, overrides in config.models.items():
            spoiled = [{**overrides, misspelt(key, rng): value} for key, value in overrides.items()]
            cases = [(name, case) for case in spoiled]
            cases += [] if "model.name" in overrides else [(misspelt(name, rng), overrides)]
            for wrong, keys in cases:
                tried += 1
                try:
                    made, _ = cell_config(dataclasses.replace(config, models={wrong: keys}), wrong, 100, 0, {}, {})
                    check_model_name(made.model.name)
                    accepted += 1
                except InputError as error:
                    without_hint += "did you mean" not in str(error)
    return {"keys": tried, "accepted": accepted, "without a suggestion": without_hint}


def paths_of(content: dict[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of nested mappings."""
    for key, value in content.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from paths_of(value, (*before, key))


def renamed(content: dict[str, Any], path: tuple[str, ...], name: str) -> dict[str, Any]:
    """The mapping with one key called otherwise."""
    if len(path) == 1:
        return {name if key == path[0] else key: value for key, value in content.items()}
    return {key: renamed(value, path[1:], name) if key == path[0] else value for key, value in content.items()}


class Payload:
    """Unpickled, it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        """What a pickle would run."""
        return os.mkdir, (str(self.trace),)


def hostile_files(folder: Path) -> dict[str, str]:
    """What each hostile file comes to: `refused`, or what went wrong."""
    from pretrain.models.builders import classifier
    from pretrain.models.config import ClassifierConfig
    from pretrain.run_paths import find
    from tokenizer.vocabulary.serialization import load as load_tokenizer

    trace, found = folder / "trace", {}

    def attempt(name: str, work: Callable[[], Any]) -> None:
        try:
            work()
            found[name] = "accepted"
        except InputError as error:
            found[name] = "refused" if len(str(error)) < 2000 else "refused at length"
        if trace.exists():
            found[name] = "executed"

    def read(name: str, content: bytes, **keys: Any) -> None:
        (folder / name).write_bytes(content)
        attempt(name, lambda: list(read_documents(CorpusConfig(source=str(folder / name), **keys))))

    def model(name: str, files: dict[str, bytes]) -> None:
        place = folder / name
        place.mkdir()
        (place / "config.json").write_text(json.dumps(BERT))
        for file, content in files.items():
            (place / file).write_bytes(content)
        given = ClassifierConfig(name=str(place))
        attempt(name, lambda: classifier(given, find(str(place), "runs")[0], None, ["a", "b"], 0))

    pickled = pickle.dumps(Payload(trace))
    model("pickled weights", {"pytorch_model.bin": pickled})
    model("pickle called safetensors", {"model.safetensors": pickled})
    model("huge safetensors header", {"model.safetensors": struct.pack("<Q", 1 << 60) + b"{}"})
    model("safetensors cut off", {"model.safetensors": struct.pack("<Q", 100) + b'{"a": '})
    code = f"import os\nos.mkdir({str(trace)!r})\n".encode()
    auto = {"auto_map": {"AutoConfig": "evil.Config"}, "model_type": "evil"}
    model("remote code", {"config.json": json.dumps(auto).encode(), "evil.py": code})
    (folder / "tokenizer").mkdir()
    described = {"auto_map": {"AutoTokenizer": ["evil.T", "evil.T"]}, "tokenizer_class": "T"}
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(described))
    (folder / "tokenizer" / "evil.py").write_bytes(code)
    attempt("remote code of a tokenizer", lambda: load_tokenizer(folder / "tokenizer"))
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    for name, text in {
        "YAML bomb": bomb,
        "YAML tag": f"name: !!python/object/apply:os.mkdir ['{trace}']\n",
        "YAML twice": "seed: 1\nseed: 2\n",
        "name that climbs": "name: ../../out\n",
        "absolute name": "name: /tmp/out\n",
        "name with NUL": 'name: "a\\0b"\n',
        "name with a line end": 'name: "a\\nb"\n',
    }.items():
        file = folder / "hostile.yaml"
        file.write_text(text)
        attempt(name, lambda file=file: run_folder_of(load(TokenizerConfig, file)))
    import gzip
    import tarfile
    import zipfile

    read("zeros.jsonl", gzip.compress(bytes(10_000_000)))
    read("zeros.txt", gzip.compress(bytes(10_000_000)), format="blocks")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("../../out.txt", "out")
    read("climbing.csv", archive.getvalue())
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tape:
        tape.addfile(tarfile.TarInfo("../../out.txt"))
    read("climbing.tsv", archive.getvalue())
    read("pickle.parquet", pickled)
    attempt("unpinned code", lambda: ClassifierConfig(trust_remote_code="main"))
    return found


def run_folder_of(config: TokenizerConfig) -> Any:
    """Where a tokenizer's run would lie."""
    from tokenizer.run_paths import run_folder

    return run_folder(config)


OFFLINE = """
import os, socket, sys
from pathlib import Path
root, folder = sys.argv[1:]
sys.path.insert(0, root)
attempts = open(os.path.join(folder, "attempts"), "ab", buffering=0)

def refused(self, *others, **options):
    if getattr(self, "family", None) != socket.AF_UNIX:
        attempts.write(b"x")
        raise OSError("there is no network")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refused
from configs.command_line import load
from finetune.config import FinetuneConfig
from finetune.export import ExportConfig, run as export
from finetune.run import run as finetune
from pretrain.config import PretrainConfig
from pretrain.run import run as pretrain
from tokenizer.config import TokenizerConfig
from tokenizer.run import run as tokenizer

chain = Path(folder) / "chain"
tokenizer(load(TokenizerConfig, chain / "tokenizer.yaml"))
export(ExportConfig(str(pretrain(load(PretrainConfig, chain / "pretrain.yaml")).path), "exported", False))
for name in ("bert", "lstm", "bag-of-words"):
    keys = {"model.name": name, "label_budget": 40, "training.duration": "5 steps"}
    assert finetune(load(FinetuneConfig, chain / "finetune.yaml", keys)).finished
"""


def offline(folder: Path) -> dict[str, int]:
    """Tokenizer, pretraining, fine-tuning and export, nobody having said that there is no network; connections counted.

    In the working directory lies what `evaluate.load` would take for a metric, and run.
    """
    write_chain(folder / "chain")
    (folder / "attempts").write_bytes(b"")
    (folder / "accuracy").mkdir()
    (folder / "accuracy" / "accuracy.py").write_text("raise SystemExit(9)\n")
    told = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
    environment = {name: value for name, value in os.environ.items() if name not in told}
    ended = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(ROOT), str(folder)],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (folder / "exported").is_dir(), ended.stderr[-2000:]
    return {"exit status": ended.returncode, "attempts": len((folder / "attempts").read_bytes())}
