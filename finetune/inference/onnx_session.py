"""An ONNX file → a session of onnxruntime on the CPU."""

import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.errors import InputError
from configs.launch import default_threads, physical_cores

# The layout that transformers.js reads: 32-bit floats, and whole numbers of 8 bits.
FOLDER = "onnx"
GRAPHS = {"onnx": "model.onnx", "onnx-int8": "model_quantized.onnx"}
EXTRA = "pip install -e '.[onnx]'"
# Tokens of a batch for each thread, with padding. With more, encoders gain nothing, since what they compute no longer
# fits a core's cache; with less, recurrent models lose.
TOKENS_PER_THREAD = 1024


def require(*packages: str) -> None:
    """Check that packages of the extra `onnx` are installed.

    Raises:
        InputError: one is missing.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise InputError(f"the package {package} is missing; install what ONNX needs: {EXTRA}")


def thread_count(environment: Mapping[str, str] = os.environ, cores: int | None = None) -> int:
    """The threads of a session: OMP_NUM_THREADS, which onnxruntime does not read, or the physical cores.

    >>> thread_count({}, 8), thread_count({"OMP_NUM_THREADS": "3"}, 8), thread_count({"OMP_NUM_THREADS": "2,1"}, 8)
    (8, 3, 2)
    >>> thread_count({"OMP_NUM_THREADS": "many"}, 8)
    8
    """
    cores = physical_cores() if cores is None else cores
    chosen = default_threads(environment, cores)
    if chosen is not None:
        return chosen
    first = environment["OMP_NUM_THREADS"].partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else cores


def opened(file: Path, threads: int) -> Any:
    """A session with `threads` threads.

    Raises:
        InputError: onnxruntime is not installed, there is no such file, or it cannot be read.
    """
    require("onnxruntime")
    if not file.is_file():
        raise InputError(
            f"runtime: there is no {file}; export the run with it: python -m finetune.export RUN --to FOLDER --onnx"
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Threads wait for work busily while a batch is computed, and no longer: tokenizers want the cores then.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # Errors only.
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001
        # onnxruntime's errors have no class in common.
        raise InputError(f"{file} cannot be read: {' '.join(str(error).split())}") from None


def labels_of(folder: Path, session: Any) -> list[str]:
    """The labels of an exported classifier, in the order of its logits.

    Raises:
        InputError: its configuration is missing or damaged, or has other labels than the graph has logits.
    """
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        names = {int(number): str(name) for number, name in config.get("id2label", {}).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{file} cannot be read: {' '.join(str(error).split())}") from None
    count = session.get_outputs()[0].shape[-1]
    # transformers does not write the names that it gives by default.
    labels = [names.get(number, f"LABEL_{number}") for number in range(count)]
    if len(names) not in (0, count):
        raise InputError(f"{file}: {len(names)} labels, but the graph has {count}; export the model again")
    return labels
