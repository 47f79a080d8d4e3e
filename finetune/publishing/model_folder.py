"""A finished run → a folder that is loaded without this toolkit, with calibrated probabilities.

A classifier's temperature is folded into its output layer: weights and bias are divided by it, so that the softmax of
any program gives the probabilities that `finetune.load` gives for the run.

Shapes: N texts, C classes.
"""

import dataclasses
import fnmatch
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune.classification.bag_of_words import SETTINGS, BagOfWords
from finetune.classification.config import MULTI_LABEL
from finetune.config import BAG_OF_WORDS
from finetune.publishing import fresh_process
from finetune.publishing.kinds import AUTOENCODER, CLASSIFIER, LANGUAGE_MODEL, Kind, config_of

log = logging.getLogger("finetune.export")

CODE_FILES = ("modeling_*.py", "configuration_*.py", "tokenization_*.py")
WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json")
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "*.tiktoken", "chat_template.jinja",
)  # fmt: skip
# All that leaves a run, or an exported folder: nothing else is copied or sent.
MODEL_FILES = (
    "config.json", "generation_config.json", "bag_of_words.json", *TOKENIZER_FILES, *WEIGHT_FILES, *CODE_FILES,
)  # fmt: skip
FRESH = "loaded by transformers alone in a fresh process"
PROBLEM = "single_label_classification"
# Of logits and of probabilities, before and after: 32-bit numbers.
CLOSE, EXACT = 1e-4, 1e-5


@dataclasses.dataclass(frozen=True)
class Exported:
    """What an export made of a run's model."""

    temperature: float | None
    """What the output layer was divided by; None of what has no temperature, or keeps its own scores."""
    checked: str | None
    """How its answers were compared with those of the run; None: they were not."""


def write_model(
    run: RunFolder, result: dict[str, Any], kind: Kind, folder: Path, calibrate: bool, check: bool
) -> Exported:
    """Write the model of a finished run to an empty folder.

    Args:
        run: the run.
        result: of the run.
        kind: of the run's model.
        folder: an empty folder.
        calibrate: fold the temperature into the output layer.
        check: compare the answers of a fresh process with those of the run's model.

    Raises:
        InputError: the run has no model, its output layer cannot be found, or another process loads another model.
    """
    wanted = SETTINGS if kind.name == BAG_OF_WORDS else "config.json"
    if not (run.model / wanted).is_file():
        raise InputError(f"{run.path} has no model/{wanted} to export; delete the run and run it again")
    temperature = result.get("temperature") if calibrate else None
    if kind.name == BAG_OF_WORDS:
        _write_bag_of_words(run, folder, temperature, result.get("thresholds"))
        return Exported(temperature, "loaded again")
    if kind.name != CLASSIFIER:
        _copy(run.model, folder, MODEL_FILES)
        _take_present_code(folder)
        expected = _generative_outputs if kind.name in (LANGUAGE_MODEL, AUTOENCODER) else _encoder_outputs
        if kind.name == LANGUAGE_MODEL:
            _write_generation_config(folder)
        if check:
            texts = fresh_process.check_texts(run, kind)
            fresh_process.check(folder, kind, expected(run.model, kind, texts), texts)
        return Exported(None, FRESH if check else None)
    _copy(run.model, folder, (*TOKENIZER_FILES, *CODE_FILES))
    answers = _fold(run, folder, kind, temperature, result.get("thresholds"))
    if check:
        fresh_process.check(folder, kind, *answers)
    return Exported(temperature, FRESH if check else None)


def is_known(name: str) -> bool:
    """Whether a file is one that a model folder may have.

    >>> is_known("config.json"), is_known("model-00001-of-00002.safetensors"), is_known("notes.txt"), is_known(".env")
    (True, True, False, False)
    """
    return not name.startswith(".") and any(fnmatch.fnmatchcase(name, pattern) for pattern in MODEL_FILES)


def _copy(source: Path, target: Path, patterns: tuple[str, ...]) -> None:
    """Copy the files of these names, and say what stays behind; a generator's folder is copied, too."""
    for file in sorted(source.rglob("*")):
        name = file.relative_to(source)
        inside = not any((source / part).is_symlink() for part in (name, *name.parents) if part != Path())
        if file.is_file() and inside and any(fnmatch.fnmatchcase(file.name, pattern) for pattern in patterns):
            (target / name.parent).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target / name)
        elif not file.is_dir() and not (inside and is_known(file.name)):
            log.info("export: %s stays behind: no file of a model", file)


def _take_present_code(folder: Path) -> None:
    """Replace this toolkit's modelling files by those of today: a run keeps the ones of the day it was made.

    The check then loads the run's weights with them.
    """
    from pretrain.models import modeling

    present = Path(modeling.__file__).parent
    for file in folder.glob("*.py"):
        if (present / file.name).is_file():
            shutil.copyfile(present / file.name, file)


def _write_generation_config(folder: Path) -> None:
    """Without a prompt, `generate` starts a document, as `pretrain.sample` does; nothing ends before its length."""
    from pretrain.models.safe_loading import quiet_transformers
    from tokenizer.vocabulary.serialization import load_any

    with quiet_transformers():
        tokenizer = load_any(folder)
    settings = {"bos_token_id": tokenizer.sep_token_id, "pad_token_id": tokenizer.pad_token_id}
    (folder / "generation_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _fold(
    run: RunFolder, folder: Path, kind: Kind, temperature: float | None, thresholds: list[float] | None
) -> tuple[dict[str, Any], list[Any]]:
    """Write the classifier, its output layer divided by the temperature.

    Args:
        run: the run.
        folder: where to.
        kind: of the run's model.
        temperature: None to leave the output layer as it is.
        thresholds: of the calibrated probabilities of labels; None of one class a text.

    Returns:
        What the run's own model answers to a few texts, its logits divided by the temperature; and these texts.

    Raises:
        InputError: there is no output layer, or dividing it does not divide the logits.
    """
    import torch

    from finetune.classification.frozen import output_layer
    from finetune.inference.classifier import load_model
    from finetune.publishing.outputs import classifier_outputs
    from pretrain.models.safe_loading import quiet_transformers

    model, tokenizer = load_model(str(run.model))
    texts = fresh_process.check_texts(run, kind)
    before_NC = classifier_outputs(model.eval(), tokenizer, texts)["logits"]
    expected_NC = before_NC / (temperature or 1)
    if temperature is not None:
        try:
            parent, name = output_layer(model)
        except InputError:
            raise InputError(_unfolded(model, "has no linear output layer")) from None
        layer = getattr(parent, name)
        with torch.no_grad():
            for parameter in (layer.weight, layer.bias):
                if parameter is not None:
                    parameter.div_(temperature)
        after_NC = classifier_outputs(model, tokenizer, texts)["logits"]
        if not np.allclose(after_NC, expected_NC, rtol=CLOSE, atol=CLOSE):
            raise InputError(_unfolded(model, f"does not end in the layer {name!r}"))
    # So that every program takes the softmax, or of several labels a text the sigmoid.
    model.config.problem_type = PROBLEM if thresholds is None else MULTI_LABEL
    if thresholds is not None and temperature is not None:
        model.config.thresholds = thresholds
    model.config.cleans_html = config_of(run)["corpus"]["clean_html"]
    _drop_missing_code(model.config, folder)
    with quiet_transformers():
        model.save_pretrained(folder)
    scores_NC = expected_NC.softmax(-1) if thresholds is None else expected_NC.sigmoid()
    return {"logits": expected_NC, "scores": scores_NC.sort(-1).values}, texts


def _drop_missing_code(config: Any, folder: Path) -> None:
    """Forget the files of other heads, such as that of pretraining, which do not come with a classifier."""
    files = getattr(config, "auto_map", None) or {}
    kept = {
        name: place
        for name, place in files.items()
        if "--" in str(place) or (folder / f"{str(place).partition('.')[0]}.py").is_file()
    }
    if files and not kept:
        del config.auto_map
    elif files:
        config.auto_map = kept


def _unfolded(model: Any, reason: str) -> str:
    return (
        f"{type(model).__name__} {reason}, so its temperature cannot be folded in and its probabilities would not be "
        "calibrated; --calibrate false exports it as it is"
    )


def _write_bag_of_words(
    run: RunFolder, folder: Path, temperature: float | None, thresholds: list[float] | None
) -> None:
    """Write the linear model with its temperature, and compare what it is loaded as.

    Raises:
        InputError: the run has no readable model.
    """
    from finetune.inference.classifier import load

    linear = dataclasses.replace(BagOfWords.load(run.model), cleans_html=config_of(run)["corpus"]["clean_html"])
    if temperature is not None:
        linear = dataclasses.replace(linear, temperature=temperature, thresholds=thresholds)
    linear.save(folder)
    own, exported = load(run.path), load(folder)
    own.temperature = temperature or 1.0
    texts = [text for text in fresh_process.check_texts(run, Kind(CLASSIFIER)) if isinstance(text, str)]
    if not np.allclose(own.probabilities(texts), exported.probabilities(texts), rtol=0, atol=EXACT):
        raise InputError(f"{run.path}: the exported bag-of-words model is not the run's; nothing was exported")


def _encoder_outputs(model_folder: Path, kind: Kind, texts: list[Any]) -> dict[str, Any]:
    """What the run's own encoder says of texts, with all its heads.

    Raises:
        InputError: it cannot be loaded.
    """
    from transformers import AutoConfig, AutoModelForPreTraining

    from finetune.publishing.outputs import encoder_outputs
    from pretrain.models.architectures import architecture_of
    from pretrain.models.safe_loading import SAFE, SAFE_WEIGHTS, UNREADABLE, quiet_transformers
    from tokenizer.vocabulary.serialization import load_any

    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(model_folder, **SAFE)
            heads = {head.__name__: head for head in architecture_of(config).heads.values()}
            own: Any = heads.get((config.architectures or [""])[0], AutoModelForPreTraining)
            model = own.from_pretrained(model_folder, **SAFE_WEIGHTS)
    except UNREADABLE as error:
        raise InputError(f"{model_folder}: cannot be loaded: {' '.join(str(error).split())}") from None
    return encoder_outputs(model.eval(), load_any(model_folder), texts)


def _generative_outputs(model_folder: Path, kind: Kind, texts: list[Any]) -> dict[str, Any]:
    """What the run's own language model or autoencoder says of texts, and writes.

    Raises:
        InputError: it cannot be loaded.
    """
    from finetune.publishing.outputs import OUTPUTS
    from pretrain.models.generation import LANGUAGE_MODEL as GENERATOR
    from pretrain.models.generation import SEQUENCE_TO_SEQUENCE, load_recurrent

    model, tokenizer = load_recurrent(str(model_folder), (GENERATOR, SEQUENCE_TO_SEQUENCE), "which writes nothing")
    return OUTPUTS[kind.name](model, tokenizer, texts)
