"""Fine-tuning runs → what a page needs of each: its files, and a description of them."""

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.command_line import load as load_config
from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune.comparison.compared_score import is_multi_label
from finetune.comparison.summary import family_of
from finetune.config import BAG_OF_WORDS, FinetuneConfig
from finetune.inference.classifier import Classifier, LinearClassifier, NeuralClassifier, load
from finetune.page.linear import packed

WORDS = "bag_of_words.bin"
# Probabilities that differ more than this from Python's are told on the page.
TOLERANCE, QUANTIZED_TOLERANCE = 0.001, 0.1
# Beyond this, `model_max_length` says that nobody knows.
LONGEST = 10**6
FAMILIES = {"linear": "linear model on a frozen encoder", "encoder": "encoder", "recurrent": "recurrent model"}


@dataclasses.dataclass(frozen=True)
class PageModel:
    """A finished fine-tuning run that a page shows."""

    run: RunFolder
    config: FinetuneConfig
    result: dict[str, Any]

    @classmethod
    def of(cls, reference: str) -> "PageModel":
        """Read a run.

        Raises:
            InputError: it is no finished fine-tuning run, or reads pairs of texts.
        """
        run = RunFolder(Path(reference))
        result = run.result()
        if "labels" not in result or not (run.path / "config.yaml").is_file():
            raise InputError(f"{run.path}: not a fine-tuning run (python -m finetune)")
        config = load_config(FinetuneConfig, run.path / "config.yaml")
        if config.corpus.second_text_column is not None:
            raise InputError(f"{run.path}: reads pairs of texts; the page has a field for one text")
        return cls(run, config, result)

    @property
    def name(self) -> str:
        """The name of the run's folder, without the way to it, which is nobody's business."""
        return self.run.path.resolve().name

    @property
    def model(self) -> str:
        """The name of the model; of a checkpoint, the last part."""
        return Path(self.config.model.name).name

    @property
    def family(self) -> str:
        """What kind of model it is, for readers.

        >>> PageModel(RunFolder(Path("x")), FinetuneConfig(), {}).family
        'pretrained encoder'
        """
        if self.config.model.name == BAG_OF_WORDS:
            return "counting words"
        family, pretrained = family_of(self.config.model.name)
        return f"{'pretrained ' * (pretrained and family != 'linear')}{FAMILIES[family]}"


def same_labels(models: Sequence[PageModel]) -> list[str]:
    """The labels of all models.

    Raises:
        InputError: two models have other labels, so that their answers cannot stand side by side; or a text may have
            several labels.
    """
    first = models[0]
    for model in models:
        if is_multi_label(model.result):
            raise InputError(f"{model.run.path}: its texts may have several labels, which the page does not show")
    for other in models[1:]:
        if other.result["labels"] != first.result["labels"]:
            raise InputError(
                f"the runs have different labels: {shown(first.result['labels'])} of {first.run.path}, "
                f"{shown(other.result['labels'])} of {other.run.path}"
            )
    return first.result["labels"]


def shown(labels: Sequence[str]) -> str:
    """Labels in a message, the first few.

    >>> shown(["a", "b"]), shown([str(number) for number in range(9)])
    ('a, b', '0, 1, 2, 3, … (9)')
    """
    return ", ".join(labels) if len(labels) <= 5 else f"{', '.join(labels[:4])}, … ({len(labels)})"


def write_model(model: PageModel, folder: Path, examples: Sequence[str], quantized: bool) -> dict[str, Any]:
    """Write the files of a model; returns its entry in `models.json`.

    Args:
        model: the run.
        folder: a new folder for its files.
        examples: texts whose scores the page compares with Python's when it has loaded the model.
        quantized: take the weights in 8 bits.

    Raises:
        InputError: the run has no model that can be loaded or exported.
    """
    classifier = load(model.run.path, precision="fp32")
    folder.mkdir(parents=True)
    if isinstance(classifier, NeuralClassifier):
        entry = _write_neural(model.run.model, classifier, folder, examples, quantized)
    else:
        assert isinstance(classifier, LinearClassifier)
        entry = _write_linear(classifier, folder)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return entry | {
        "model": model.model,
        "family": model.family,
        "run": model.name,
        "label_budget": model.config.label_budget,
        "test_accuracy": model.result.get("test_accuracy"),
        "parameters": model.result.get("parameters"),
        "temperature": classifier.temperature,
        "tolerance": QUANTIZED_TOLERANCE if quantized and entry["kind"] != BAG_OF_WORDS else TOLERANCE,
        "bytes": sum(file.stat().st_size for file in files),
        "checks": checks(classifier, examples),
    }


def checks(classifier: Classifier, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Texts with their calibrated probabilities."""
    probabilities_NC = classifier.probabilities(list(texts))
    return [{"text": text, "probabilities": row} for text, row in zip(texts, probabilities_NC.tolist(), strict=True)]


def _write_linear(classifier: LinearClassifier, folder: Path) -> dict[str, Any]:
    (folder / WORDS).write_bytes(packed(classifier.model))
    return {
        "kind": BAG_OF_WORDS,
        "file": WORDS,
        "features": classifier.model.kind,
        "longest": classifier.model.longest,
        "sequences": len(classifier.model.vocabulary),
        "vectors": len(classifier.model.bias_K),
    }


def _write_neural(
    model: Path, classifier: NeuralClassifier, folder: Path, examples: Sequence[str], quantized: bool
) -> dict[str, Any]:
    """Export to ONNX in a copy of the model's folder, and take from there what a browser reads."""
    from finetune.publishing.onnx import export_onnx

    name = "model_quantized.onnx" if quantized else "model.onnx"
    with tempfile.TemporaryDirectory(prefix="bertlet-") as temporary:
        copy = Path(temporary) / "model"
        shutil.copytree(model, copy)
        try:
            export_onnx(copy, examples)
        except InputError as error:
            raise InputError(str(error).replace(str(copy), str(model))) from None
        weights = copy / "onnx" / name
        if not weights.is_file():
            raise InputError(
                f"{model.parent}: in 8 bits it would give too many texts another label; leave out --quantized"
            )
        shutil.copyfile(weights, folder / name)
    tokenizer = classifier.tokenizer
    content = tokenizer_content(tokenizer)
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    length = tokenizer.model_max_length
    return {
        "kind": "neural",
        "file": name,
        "tokenizer": "tokenizer.json",
        "cls_id": tokenizer.cls_token_id,
        "sep_id": tokenizer.sep_token_id,
        "pad_id": tokenizer.pad_token_id,
        "length": length if length < LONGEST else None,
        "head_share": head_share(tokenizer),
        "bert_normalizers": bert_normalizers(content["normalizer"]),
    }


def head_share(tokenizer: Any) -> float:
    """The share of the tokens of a longer text that its beginning keeps."""
    share = getattr(tokenizer, "truncation_head_share", None)
    return share if share is not None else float(tokenizer.truncation_side == "right")


def tokenizer_content(tokenizer: Any) -> dict[str, Any]:
    """The content of `tokenizer.json` for a browser, where "[SEP]" in a text is text if it is for the tokenizer."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    if tokenizer.init_kwargs.get("split_special_tokens"):
        content["added_tokens"] = [token for token in content["added_tokens"] if not token["special"]]
    return content


def bert_normalizers(normalizer: dict[str, Any] | None) -> dict[str, bool]:
    """Whether BERT's normalizer, alone or among others, lower-cases and whether it sets Chinese characters apart.

    >>> bert = {"type": "BertNormalizer", "lowercase": True, "handle_chinese_chars": False}
    >>> bert_normalizers({"type": "Sequence", "normalizers": [{"type": "NFC"}, bert]})
    {'lowercase': True, 'chinese': False}
    >>> bert_normalizers(None)
    {'lowercase': False, 'chinese': False}
    """
    parts = (normalizer or {}).get("normalizers", [normalizer] if normalizer else [])
    bert = [part for part in parts if part["type"] == "BertNormalizer"]
    return {
        "lowercase": any(part["lowercase"] for part in bert) or any(part["type"] == "Lowercase" for part in parts),
        "chinese": any(part["handle_chinese_chars"] for part in bert),
    }
