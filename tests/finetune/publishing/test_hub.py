"""A folder becomes one commit, whatever request fails on the way; a server that speaks the Hub's routes counts them."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, ModelCard, RepoCard, constants

from configs.errors import InputError, RunError
from finetune.publishing.card import SEAL, _digest
from finetune.publishing.hub import Changes, Destination, preview, publish
from finetune.publishing.upload_files import upload_files
from pretrain.hub import retries
from tests.helpers.http.hub_server import KINDS, TOKEN, Fault, Hub

# `huggingface_hub` sends large files by an argument that its own client calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")

NAME = "somebody/small"
TEXT = "---\ntags:\n- bertlet\n---\n# A model\n"
CARD = TEXT + SEAL.format(_digest(TEXT))
# All kinds of requests that a publication to a new branch of a new repository makes.
ASKED = [kind for kind in KINDS if kind not in ("xet", "resolve")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An exported model, of a few bytes."""
    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "config.json").write_text("{}\n")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (folder / "README.md").write_text(CARD)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_publication_is_one_commit_read_back(hub: Hub, folder: Path) -> None:
    url = publish(folder, Destination(NAME, private=True))
    assert url.endswith(f"/{NAME}/commit/{hub.head(NAME)}")
    assert hub.repositories[NAME] == contents(folder)
    assert hub.commits == [["README.md", "config.json", "model.safetensors"]]
    assert hub.private[NAME]
    assert hub.requests.index("commit") < len(hub.requests) - 1 - hub.requests[::-1].index("tree")


def test_the_same_again_makes_no_commit_and_says_so(hub: Hub, folder: Path) -> None:
    first = publish(folder, Destination(NAME))
    again = publish(folder, Destination(NAME))
    assert again == f"{first} (nothing changed: no new commit)"
    assert len(hub.commits) == 1
    # What is not ours and not loaded changes nothing.
    hub.repositories[NAME] = hub.repositories[NAME] | {"notes.md": b"mine", ".gitattributes": b""}
    hub.snapshots.clear()
    hub.heads.clear()
    assert "nothing changed" in publish(folder, Destination(NAME))
    (folder / "config.json").write_text('{"a": 1}\n')
    with pytest.raises(InputError, match=r"replaces README.md, config.json, model.safetensors; keeps notes.md; add"):
        publish(folder, Destination(NAME))


@pytest.mark.parametrize("kind", ASKED)
@pytest.mark.parametrize("answer", [429, 500, 503, "cut", "cut after"])
def test_a_request_that_fails_once_leaves_one_commit(
    hub: Hub, folder: Path, waits: list[float], kind: str, answer: int | str
) -> None:
    headers = {"Retry-After": "7"} if answer == 429 else {}
    hub.faults = [Fault(kind, answer, headers)]
    publish(folder, Destination(NAME, revision="trial/a"))
    assert hub.faults[0].times == 0
    assert len(hub.commits) == 1
    assert hub.repositories[f"{NAME}@trial/a"] == contents(folder)
    assert hub.repositories[NAME] == {}
    assert waits == [] if (kind, answer) == ("commit", "cut after") else len(waits) == 1
    if answer == 429:
        assert 7 <= waits[0] <= 8


def test_every_kind_of_request_is_made(hub: Hub, folder: Path) -> None:
    publish(folder, Destination(NAME, revision="trial/a"))
    assert set(hub.requests) == set(ASKED)
    hub.requests.clear()
    (folder / "config.json").write_text('{"a": 1}\n')
    hub.faults = [Fault("resolve", 503)]
    publish(folder, Destination(NAME, revision="trial/a", update=True))
    assert "resolve" in hub.requests
    assert len(hub.commits) == 2
    # Both commits have our own card, which is nobody's to keep.
    assert "BERTLET.md" not in hub.repositories[f"{NAME}@trial/a"]


@pytest.mark.parametrize("answer", [401, 403, 404])
@pytest.mark.parametrize("kind", ["create", "branch", "preupload", "lfs batch", "lfs put", "commit", "tree"])
def test_a_refusal_ends_in_one_line_that_tells_what_is_left(
    hub: Hub, folder: Path, waits: list[float], kind: str, answer: int
) -> None:
    hub.faults = [Fault(kind, answer, times=99)]
    with pytest.raises(InputError) as refused:
        publish(folder, Destination(NAME, revision="v2"))
    line = str(refused.value)
    assert "\n" not in line
    assert TOKEN not in line
    assert str(answer) in line or "not found" in line.lower()
    assert not waits
    assert not hub.commits
    assert ("the new repository is there and holds nothing" in line) == (kind != "create")


def test_an_overload_without_end_ends(hub: Hub, folder: Path, waits: list[float]) -> None:
    hub.faults = [Fault("commit", 503, times=99)]
    with pytest.raises(InputError, match=r"503 .*the new repository is there and holds nothing of this model yet"):
        publish(folder, Destination(NAME))
    assert waits == [1, 2, 4, 8, 16]
    assert hub.requests.count("commit") == retries.ATTEMPTS
    hub.faults, hub.requests = [Fault("info", 429, {"Retry-After": "4000"}, times=99)], []
    with pytest.raises(InputError, match=r"asks to wait for 4,000 s \(HTTP 429\); run again then"):
        publish(folder, Destination(NAME))
    assert hub.requests == ["info"]


def test_what_somebody_else_commits_meanwhile_stays(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories[NAME] = {}
    original = HfApi.preupload_lfs_files

    def meanwhile(self: HfApi, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        hub.repositories[NAME], hub.heads[NAME] = {"theirs.txt": b"theirs"}, "a" * 40
        hub.snapshots["a" * 40] = hub.repositories[NAME]

    monkeypatch.setattr(HfApi, "preupload_lfs_files", meanwhile)
    with pytest.raises(InputError, match=r"somebody else changed the repository .* \(commit aaaaaaaa\)"):
        publish(folder, Destination(NAME))
    assert hub.repositories[NAME] == {"theirs.txt": b"theirs"}
    assert not hub.commits


@pytest.mark.parametrize(
    ("name", "said"), [("config.json", "config.json: other content"), ("model.safetensors", "model.safetensors: other")]
)
def test_what_is_held_there_must_be_what_was_sent(hub: Hub, folder: Path, name: str, said: str) -> None:
    size = (folder / name).stat().st_size
    hub.tampered = {name: b"x" * size}
    with pytest.raises(RunError, match=rf"but what the Hub holds is not what was sent: {said}"):
        publish(folder, Destination(NAME))


def test_a_file_that_the_repository_ignores_is_missed(hub: Hub, folder: Path) -> None:
    # `huggingface_hub` leaves it out without a word.
    hub.ignored = {"config.json"}
    with pytest.raises(RunError, match=r"config.json: missing"):
        publish(folder, Destination(NAME))


def test_a_branch_is_made_and_main_left_alone(hub: Hub, folder: Path) -> None:
    hub.repositories[NAME] = {"config.json": b"old", "README.md": b"# Mine\n"}
    destination = Destination(NAME, revision="v2")
    # On a branch that did not exist, nobody has to ask for it; on one that does, they have.
    publish(folder, destination)
    published = hub.repositories[f"{NAME}@v2"]
    assert published["config.json"] == b"{}\n"
    assert published["README.md"] == b"# Mine\n"
    assert published["BERTLET.md"] == CARD.encode()
    assert hub.repositories[NAME] == {"config.json": b"old", "README.md": b"# Mine\n"}
    assert "nothing changed" in publish(folder, destination)
    assert len(hub.commits) == 1
    (folder / "config.json").write_text('{"a": 1}\n')
    with pytest.raises(InputError, match=r"add --update to do that$"):
        publish(folder, destination)
    hub.faults = [Fault("commit", 403)]
    with pytest.raises(InputError, match=r"403.*; the new branch v3 is there, as main is: run again with --update"):
        publish(folder, Destination(NAME, revision="v3"))


def test_a_dry_run_lists_sums_and_asks_nobody(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    (folder / "notes.txt").write_text("mine")
    listed = preview(folder, Destination(NAME, "v2")).splitlines()
    assert listed[
        0
    ] == f"3 files of {10240 + 3 + len(CARD)} bytes would go to {NAME}, branch v2 in one commit:".replace(
        str(10240 + 3 + len(CARD)), f"{10240 + 3 + len(CARD):,}"
    )
    assert [line.split() for line in listed[2:4]] == [
        ["ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356", "3", "config.json"],
        [upload_files(folder)[0][2].sha256, "10,240", "model.safetensors"],
    ]
    assert listed[4] == "stays: notes.txt (not a file of a model)"
    assert not hub.requests
    with pytest.raises(InputError, match=r"no token for the Hub: set HF_TOKEN"):
        publish(folder, Destination(NAME))


def test_the_token_of_the_hub_s_own_login_is_taken(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    Path(constants.HF_TOKEN_PATH).write_text(TOKEN + "\n")
    publish(folder, Destination(NAME))
    assert len(hub.commits) == 1
    monkeypatch.setenv("HF_TOKEN", "hf_ünïcode")
    with pytest.raises(InputError, match=r"characters that no token has") as refused:
        publish(folder, Destination(NAME))
    assert "hf_" not in str(refused.value).replace("HF_TOKEN", "")


def test_no_line_of_a_failure_has_the_token(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    token = "hf_" + "Secret" * 6
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(HfApi, "repo_exists", lambda *_: (_ for _ in ()).throw(ValueError(f"Illegal header {token}")))
    with caplog.at_level(logging.DEBUG, "finetune"), pytest.raises(InputError) as refused:
        publish(folder, Destination(NAME))
    assert "(the token)" in str(refused.value)
    assert token not in str(refused.value) + caplog.text


@pytest.mark.parametrize("name", ["small", "a/b/c", "../x", "a b/c", "somebody/", "sömebody/x", "a/b\n"])
def test_names_of_repositories_are_checked(name: str) -> None:
    with pytest.raises(InputError, match="not of the form hub:owner/name"):
        Destination(name)


@pytest.mark.parametrize("branch", ["a b", "../x", "a//b", "x.lock", '"', "v1/", "-x", "", "a..b"])
def test_names_of_branches_are_checked(branch: str) -> None:
    with pytest.raises(InputError, match="not the name of a branch"):
        Destination(NAME, revision=branch)


def test_a_card_is_what_the_hub_takes_as_one(hub: Hub) -> None:
    ModelCard(CARD).validate()
    with pytest.raises(ValueError, match="must be a list"):
        RepoCard("---\ntags: bertlet\n---\n").validate()
    assert hub.requests == ["validate", "validate"]


def test_metadata_that_the_hub_refuses_is_told(hub: Hub, folder: Path) -> None:
    (folder / "README.md").write_text("---\ntags: bertlet\n---\n# A model\n")
    with pytest.raises(InputError, match=r'Invalid metadata in README.md. - "tags" must be a list'):
        publish(folder, Destination(NAME))
    assert not hub.commits


def test_changes_keep_what_is_not_loaded() -> None:
    theirs = ["onnx/model.onnx", "model-00001-of-00002.safetensors", "old/config.json", "adapter_config.json"]
    changes = Changes.of(["config.json", "model.safetensors"], theirs, written_card=False)
    assert changes.removed == ["adapter_config.json", "model-00001-of-00002.safetensors", "onnx/model.onnx"]
    assert changes.kept == ["old/config.json"]


def test_graphs_and_generators_of_an_earlier_model_are_removed() -> None:
    theirs = ["config.json", "onnx/model.onnx", "onnx/model_quantized.onnx", "generator/config.json", "notes/onnx.md"]
    changes = Changes.of(["config.json", "model.safetensors", "onnx/model.onnx"], theirs, written_card=False)
    assert changes.removed == ["generator/config.json", "onnx/model_quantized.onnx"]
    assert changes.replaced == ["config.json", "onnx/model.onnx"]
    assert changes.kept == ["notes/onnx.md"]


def test_a_network_replaces_a_bag_of_words_and_the_other_way_round() -> None:
    linear, network = ["bag_of_words.json", "bag_of_words.safetensors"], ["config.json", "model.safetensors"]
    for ours, theirs in ((network, linear), (linear, network)):
        changes = Changes.of(ours, theirs, written_card=False)
        assert (changes.removed, changes.kept) == (theirs, [])


def test_a_file_of_another_server_s_json_is_no_reason_to_crash(hub: Hub, folder: Path) -> None:
    # An overloaded proxy answers in HTML; `huggingface_hub` reads it as JSON before it looks at the status.
    hub.faults = [Fault("validate", 502, times=2)]
    publish(folder, Destination(NAME))
    assert json.loads(hub.repositories[NAME]["config.json"]) == {}
