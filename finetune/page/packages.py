"""npm's packages → the files of them that a page needs, kept for the next page."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from configs.errors import InputError

HERE = Path(__file__).parent
# package.json names the packages, package-lock.json their versions and sums.
LISTS = ("package.json", "package-lock.json")
# From `node_modules/` to `vendor/`. onnxruntime-web has no file with its licence; its package.json names it.
FILES = {
    "@huggingface/tokenizers/dist/tokenizers.min.mjs": "tokenizers.min.mjs",
    "@huggingface/tokenizers/LICENSE": "tokenizers.LICENSE",
    "onnxruntime-web/dist/ort.wasm.min.mjs": "ort.wasm.min.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs": "ort-wasm-simd-threaded.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
    "onnxruntime-web/package.json": "onnxruntime-web.package.json",
}
SECONDS = 600


def installed(cache: Path) -> Path:
    """The folder with the files of `FILES`; they are fetched the first time, by npm with the user's own settings.

    Args:
        cache: the folder below which they are kept.

    Raises:
        InputError: npm is missing or failed.
    """
    state = hashlib.sha256(repr(FILES).encode())
    for name in LISTS:
        state.update((HERE / name).read_bytes())
    folder = cache / f"page-packages-{state.hexdigest()[:10]}"
    if folder.is_dir():
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(
            "npm is not on the PATH; a page needs it once, for the runtime and the tokenizer that work in a browser: "
            f"install Node.js, or copy {folder} from a machine where a page was made"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".page-packages-", dir=cache) as temporary:
        work, files = Path(temporary) / "work", Path(temporary) / "files"
        work.mkdir()
        files.mkdir()
        for name in LISTS:
            shutil.copyfile(HERE / name, work / name)
        _install(npm, work)
        for source, name in FILES.items():
            shutil.copyfile(work / "node_modules" / source, files / name)
        # Another command may have been faster.
        with contextlib.suppress(OSError):
            files.rename(folder)
    return folder


def packages_and_licences() -> str:
    """The packages of `package.json` with their versions and licences.

    >>> packages_and_licences()
    '`@huggingface/tokenizers` 0.2.0 (Apache-2.0), `onnxruntime-web` 1.30.0 (MIT)'
    """
    names = json.loads((HERE / LISTS[0]).read_text(encoding="utf-8"))["dependencies"]
    locked = json.loads((HERE / LISTS[1]).read_text(encoding="utf-8"))["packages"]
    facts = {name: locked[f"node_modules/{name}"] for name in names}
    return ", ".join(f"`{name}` {fact['version']} ({fact['license']})" for name, fact in facts.items())


def _install(npm: str, folder: Path) -> None:
    """Install what the lists in `folder` name into it; npm compares every file with its sum.

    Raises:
        InputError: npm failed or took too long.
    """
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    environment = os.environ | {"npm_config_update_notifier": "false"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"npm ci: not done after {SECONDS} seconds; is its registry reachable (npm ping)?") from None
    if done.returncode:
        raise InputError(f"npm ci: failed ({reason(done.stderr)}); is its registry reachable (npm ping)?")


def reason(errors: str) -> str:
    r"""What npm says of a failure, in one line.

    >>> reason("npm error code ECONNREFUSED\nnpm error network no route\nnpm error A complete log is in: a.log\n")
    'code ECONNREFUSED, network no route'
    >>> reason("")
    'no reason given'
    """
    lines = [line.removeprefix("npm error").strip() for line in errors.splitlines() if line.startswith("npm error")]
    told = [line for line in lines if line and "complete log" not in line]
    return ", ".join(told[:3]) or "no reason given"
