"""A page is whole or not there, replaces only pages, and holds nothing of this machine."""

import json
import re
import shutil

import pytest
import yaml

from configs.errors import InputError
from finetune.page import packages, site
from finetune.page.site import Page, build
from finetune.run import run
from tests.helpers.finetuning import finetune_config

TITLE = 'films: "good" or <bad>\n---'


@pytest.fixture(scope="module")
def counting(chain):
    return str(run(finetune_config(chain, model__name="bag-of-words")).path)


@pytest.fixture
def cache(tmp_path):
    """npm's packages, as if they had been fetched."""
    folder = tmp_path / "cache"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(packages, "_install", put_files)
        packages.installed(folder)
    return folder


def put_files(npm, folder):
    for name in packages.FILES:
        file = folder / "node_modules" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"from npm")


def page_of(*runs, title=None, examples=(), quantized=False):
    return Page.of(list(runs), title, list(examples), quantized)


def test_the_folder_holds_all_that_a_static_space_needs(counting, tmp_path, cache):
    folder = build(page_of(counting, title=TITLE, examples=["so good", " "]), tmp_path / "pages" / "one", cache)
    head = (folder / "README.md").read_text(encoding="utf-8").partition("\n# ")[0]
    settings = yaml.safe_load(head.strip().removeprefix("---").removesuffix("---"))
    assert settings["title"] == 'films: "good" or <bad> ---'
    assert (settings["sdk"], settings["app_file"]) == ("static", "index.html")
    assert settings["custom_headers"]["cross-origin-embedder-policy"] == "require-corp"
    description = json.loads((folder / "models.json").read_text(encoding="utf-8"))
    assert description["labels"] == ["negative", "positive"]
    assert description["examples"] == ["so good"]
    (model,) = description["models"]
    assert (folder / model["folder"] / model["file"]).stat().st_size == model["bytes"]
    assert 0 < model["checks"][0]["probabilities"][1] < 1
    everything = "".join(
        file.read_text(encoding="utf-8") for file in folder.rglob("*") if file.is_file() and file.suffix != ".bin"
    )
    assert str(tmp_path) not in everything
    assert [file.name for file in folder.parent.iterdir()] == ["one"]


def test_every_file_that_a_page_asks_for_is_in_it(counting, tmp_path, cache):
    folder = build(page_of(counting), tmp_path / "page", cache)
    asked = {
        name
        for file in [*folder.glob("*.js"), folder / "index.html"]
        for name in re.findall(r'(?:from |src=|href=)"(?:\./)?([^"]+\.\w+)"', file.read_text(encoding="utf-8"))
    }
    assert {"client.js", "app.js", "style.css", "vendor/ort.wasm.min.mjs"} <= asked
    for name in asked:
        assert (folder / name).is_file(), name
    assert {file.name for file in site.HERE.iterdir() if file.suffix in (".js", ".css", ".html")} == set(site.SOURCES)


def test_a_page_is_replaced_and_other_folders_are_left_alone(counting, tmp_path, cache):
    target = tmp_path / "page"
    build(page_of(counting, title="one"), target, cache)
    (target / ".git").mkdir()
    for stray in (".git/HEAD", "notes.txt", "models/stale.bin"):
        (target / stray).write_text("x", encoding="utf-8")
    build(page_of(counting, title="one"), target, cache)
    assert (target / "models" / "stale.bin").exists(), "the same page is not made again"
    build(page_of(counting, title="two"), target, cache)
    assert (target / ".git" / "HEAD").exists()
    assert {file.name for file in target.iterdir()} == {".git", "notes.txt", *site.PARTS}
    assert [file.name for file in (target / "models").iterdir()] == ["0"]
    assert json.loads((target / "models.json").read_text(encoding="utf-8"))["title"] == "two"
    other = tmp_path / "mine"
    other.mkdir()
    (other / "models.json").write_text('{"made_by": "me"}', encoding="utf-8")
    for wrong in (other, other / "models.json"):
        with pytest.raises(InputError, match="neither an empty folder nor a page"):
            build(page_of(counting), wrong, cache)
    assert [file.name for file in other.iterdir()] == ["models.json"]


def test_a_failure_leaves_the_page_that_was_there(counting, tmp_path, cache, monkeypatch):
    target = build(page_of(counting, title="one"), tmp_path / "page", cache)
    monkeypatch.setattr(site, "readme", lambda page: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(page_of(counting, title="two"), target, cache)
    assert json.loads((target / "models.json").read_text(encoding="utf-8"))["title"] == "one"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cache", "page"]


def changed_copy(run, target, **changes):
    """A copy of a run with other values in its result."""
    copy = shutil.copytree(run, target)
    result = json.loads((copy / "result.json").read_text(encoding="utf-8"))
    (copy / "result.json").write_text(json.dumps(result | changes), encoding="utf-8")
    return copy


def test_runs_that_do_not_fit_are_refused(chain, counting, tmp_path):
    other = changed_copy(counting, tmp_path / "other", labels=["positive", "negative"])
    with pytest.raises(InputError, match=r"different labels: negative, positive of .*, positive, negative of"):
        page_of(counting, str(other))
    with pytest.raises(InputError, match="one is given twice"):
        page_of(counting, f"{counting}/../{counting.rsplit('/', 1)[1]}")
    with pytest.raises(InputError, match="7 runs; a page shows 1 to 6"):
        page_of(*[counting] * 7)
    with pytest.raises(InputError, match="holds no finished run"):
        page_of(str(tmp_path))
    with pytest.raises(InputError, match="is not Unicode text"):
        page_of(counting, examples=["so \udc80 good"])
    (pretraining,) = (chain / "runs" / "pretrain").iterdir()
    with pytest.raises(InputError, match="not a fine-tuning run"):
        page_of(str(pretraining))
    pair = shutil.copytree(counting, tmp_path / "pair")
    config = (pair / "config.yaml").read_text(encoding="utf-8")
    assert "second_text_column: null" in config
    (pair / "config.yaml").write_text(
        config.replace("second_text_column: null", "second_text_column: b"), encoding="utf-8"
    )
    with pytest.raises(InputError, match="reads pairs of texts"):
        page_of(str(pair))


def test_a_runs_temperature_is_in_its_digest(counting, tmp_path):
    name = counting.rsplit("/", 1)[1]
    same = changed_copy(counting, tmp_path / "same" / name)
    changed = changed_copy(counting, tmp_path / "changed" / name, temperature=3.0)
    assert page_of(str(same)).digest == page_of(counting).digest != page_of(str(changed)).digest


def test_a_model_that_8_bits_would_spoil_is_told(chain, tmp_path, cache, monkeypatch):
    lstm = run(finetune_config(chain, model__name="lstm", training__duration="5 steps")).path

    def export_floats_alone(folder, texts):
        (folder / "onnx").mkdir()
        (folder / "onnx" / "model.onnx").write_bytes(b"floats")

    monkeypatch.setattr("finetune.publishing.onnx.export_onnx", export_floats_alone)
    with pytest.raises(InputError, match=r"in 8 bits .* leave out --quantized"):
        build(page_of(str(lstm), quantized=True), tmp_path / "page", cache)
    folder = build(page_of(str(lstm)), tmp_path / "page", cache)
    assert sorted(file.name for file in (folder / "models" / "0").iterdir()) == ["model.onnx", "tokenizer.json"]
    assert "model.safetensors" not in {file.name for file in folder.rglob("*")}


def test_a_failed_export_names_the_run_not_the_copy(chain, tmp_path, cache, monkeypatch):
    lstm = run(finetune_config(chain, model__name="lstm", training__duration="5 steps")).path

    def fail(folder, texts):
        raise InputError(f"{folder}: cannot be traced")

    monkeypatch.setattr("finetune.publishing.onnx.export_onnx", fail)
    with pytest.raises(InputError, match=f"^{re.escape(str(lstm))}/model: cannot be traced$"):
        build(page_of(str(lstm)), tmp_path / "page", cache)
    assert not (tmp_path / "page").exists()
