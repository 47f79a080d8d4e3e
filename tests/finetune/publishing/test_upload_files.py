"""What is sent is known by name, is no link, and holds no secret."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from configs.errors import InputError
from finetune.publishing import upload_files as module
from finetune.publishing.upload_files import UploadFile, secret_in, upload_files

# Made up, of the forms that their services use.
SECRETS = {
    "Hugging Face token": "hf_" + "aB3" * 12,
    "AWS access key": "AKIA" + "Q7W" * 5 + "E",
    "GitHub token": "ghp_" + "x9Y" * 12,
    "OpenAI-style key": "sk-proj-" + "a_1-" * 10,
    "Google API key": "AIza" + "b2-C_" * 7,
    "Slack token": "xoxb-" + "12345-abcde",
    "private key": "-----BEGIN OPENSSH PRIVATE KEY-----",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "config.json").write_text("{}\n")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_only_known_files_go(folder: Path) -> None:
    (folder / "onnx").mkdir()
    for name in ("README.md", "onnx/model.onnx", "tokenization_head_tail.py"):
        (folder / name).write_text("x")
    for name in (".env", "notes.txt", "weights.bin", "setup.py", "onnx/run.sh"):
        (folder / name).write_text("x")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "config.json").write_text("x")
    (folder / "tokenizer.json").symlink_to("/etc/hostname")
    (folder / "generator").symlink_to(folder / "onnx")
    files, left = upload_files(folder)
    assert [file.name for file in files] == [
        "README.md", "config.json", "model.safetensors", "onnx/model.onnx", "tokenization_head_tail.py",
    ]  # fmt: skip
    assert left == [
        ".cache/config.json (hidden)", ".env (hidden)", "generator (a link)", "notes.txt (not a file of a model)",
        "onnx/run.sh (not a file of a model)", "setup.py (not a file of a model)", "tokenizer.json (a link)",
        "weights.bin (not a file of a model)",
    ]  # fmt: skip


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    target = folder / "elsewhere"
    (folder / "model.safetensors").rename(target)
    (folder / "model.safetensors").symlink_to(target)
    with pytest.raises(InputError, match=r"has no weights to publish .*model.safetensors \(a link\)"):
        upload_files(folder)


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("name", ["tokenizer.json", "model.safetensors"])
def test_a_secret_is_refused_and_not_repeated(folder: Path, kind: str, name: str) -> None:
    (folder / name).write_bytes(b'\x00{"token": "' + SECRETS[kind].encode() + b'"}')
    with pytest.raises(InputError) as refused:
        upload_files(folder)
    assert str(refused.value) == f"{name} holds what looks like a secret ({kind}); nothing was published"


def test_a_secret_across_two_pieces_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 512)
    for kind, secret in SECRETS.items():
        for offset in (470, 500, 511, 1010):
            (tmp_path / "file").write_bytes(b" " * offset + secret.encode() + b" " * 700)
            assert secret_in(tmp_path / "file") == kind


@pytest.mark.parametrize(
    "text",
    ["task-specific", "sk-learn and a risk-averse-person-of-many-hyphens", "hf_loopback", "AKIAshort", "ghp_short",
     "-----BEGIN PUBLIC KEY-----", "desk-" + "a" * 30, "the hf_config of a model", "xoxo-kisses"],
)  # fmt: skip
def test_ordinary_text_is_no_secret(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    assert secret_in(tmp_path / "file") is None


def test_random_weights_are_no_secret(tmp_path: Path) -> None:
    blocks = [hashlib.sha512(number.to_bytes(4, "big")).digest() for number in range(20_000)]
    (tmp_path / "file").write_bytes(b"".join(blocks))
    assert secret_in(tmp_path / "file") is None


def test_git_s_own_hash_of_a_file_is_ours(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    for content in (b"", b"{}\n", bytes(range(256)) * 9):
        file.write_bytes(content)
        blob = subprocess.run(["git", "hash-object", str(file)], capture_output=True, text=True, check=True).stdout
        assert UploadFile.of("x", file).blob == blob.strip()
