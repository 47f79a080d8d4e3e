"""What a finished run holds, and the Python code that loads it elsewhere.

The code stands in the model card, and the check of an export runs it.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import yaml

from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune.comparison.compared_score import is_multi_label
from finetune.config import BAG_OF_WORDS

CLASSIFIER, ENCODER, LANGUAGE_MODEL, AUTOENCODER = "classifier", "encoder", "language model", "autoencoder"
# Of pretraining objectives that make no encoder.
RECURRENT_OBJECTIVES = {"causal_lm": LANGUAGE_MODEL, "autoencode": AUTOENCODER}
# The option of `from_pretrained` and `pipeline` that lets a model's own files run.
CODE_OPTION = ", trust_remote_code=True"


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a run's model is, as far as loading it goes."""

    name: str
    """`classifier`, `bag-of-words`, `encoder`, `language model` or `autoencoder`."""
    reads_pairs: bool = False
    """Whether a classifier was trained on pairs of texts."""
    fills_masks: bool = False
    """Whether an encoder was trained to."""
    several_labels: bool = False
    """Whether a classifier may give a text several labels."""

    @classmethod
    def of(cls, run: RunFolder, result: dict[str, Any]) -> "Kind":
        """The kind of a finished run.

        Raises:
            InputError: it is no run of fine-tuning or pretraining, or was made before its model was kept.
        """
        config = config_of(run)
        if "labels" in result:
            name = BAG_OF_WORDS if config["model"]["name"] == BAG_OF_WORDS else CLASSIFIER
            reads_pairs = config["corpus"].get("second_text_column") is not None
            return cls(name, reads_pairs, several_labels=is_multi_label(result))
        if "objective" not in result and "objective" not in config:
            raise InputError(f"{run.path} is no run of pretraining or fine-tuning, so it has no model to export")
        objective = result.get("objective") or config["objective"]
        return cls(RECURRENT_OBJECTIVES.get(objective, ENCODER), fills_masks=objective.startswith("mlm"))

    @property
    def pipeline_tag(self) -> str | None:
        """The task as the Hub names it."""
        if self.name == ENCODER:
            return "fill-mask" if self.fills_masks else None
        tags = {LANGUAGE_MODEL: "text-generation", AUTOENCODER: None}
        return tags.get(self.name, "text-classification")

    def code(self, reference: str, needs_code: bool = False, revision: str | None = None) -> str:
        """Python that loads the model and uses it once; needs transformers and torch, and nothing of this toolkit.

        A bag-of-words model is loaded by this toolkit.

        Args:
            reference: a folder, or `owner/name` on the Hub.
            needs_code: whether the model's own files have to run (`uses_own_code`).
            revision: a branch of the Hub repository.
        """
        branch = "" if revision is None else f', revision="{revision}"'
        options = branch + (CODE_OPTION if needs_code else "")
        return CODE[self.name](self, json.dumps(reference), options)


def _classifier(kind: Kind, reference: str, options: str) -> str:
    text = '{"text": "A text.", "text_pair": "Its second text."}' if kind.reads_pairs else '"A text of any length."'
    return (
        "from transformers import pipeline\n\n"
        f'classify = pipeline("text-classification", model={reference}, truncation=True{options})\n'
        f"print(classify({text}{', top_k=None' if kind.several_labels else ''}))\n"
    )


def _bag_of_words(kind: Kind, reference: str, options: str) -> str:
    text = '("A text.", "Its second text.")' if kind.reads_pairs else '"A text of any length."'
    if "/" not in reference:
        return f"import finetune\n\nclassify = finetune.load({reference})\nprint(classify({text}))\n"
    return (
        "from huggingface_hub import snapshot_download\n\nimport finetune\n\n"
        f"classify = finetune.load(snapshot_download({reference}{options}))\nprint(classify({text}))\n"
    )


def _loaded(auto_class: str, reference: str, options: str) -> str:
    """The lines that load a model by this class of transformers, and its tokenizer."""
    return (
        f"from transformers import {auto_class}, AutoTokenizer\n\n"
        f"tokenizer = AutoTokenizer.from_pretrained({reference}{options})\n"
        f"model = {auto_class}.from_pretrained({reference}{options})\n"
    )


def _encoder(kind: Kind, reference: str, options: str) -> str:
    return (
        f"{_loaded('AutoModelForPreTraining', reference, options)}"
        'outputs = model(**tokenizer("A text.", "Another text.", return_tensors="pt"))\n'
        "print({name: tuple(values.shape) for name, values in outputs.items()})\n"
    )


def _language_model(kind: Kind, reference: str, options: str) -> str:
    return (
        f"import torch\n{_loaded('AutoModelForCausalLM', reference, options)}"
        "# A text starts after the separator that ends the one before.\n"
        'prompt = [tokenizer.sep_token_id, *tokenizer.encode("the", add_special_tokens=False)]\n'
        "torch.manual_seed(0)\n"
        "ids = model.generate(torch.tensor([prompt]), do_sample=True, top_k=0, max_new_tokens=40)\n"
        "print(tokenizer.decode(ids[0, 1:]))\n"
    )


def _autoencoder(kind: Kind, reference: str, options: str) -> str:
    return (
        f"import torch\n{_loaded('AutoModelForSeq2SeqLM', reference, options)}"
        'ids = [*tokenizer.encode("the text to copy", add_special_tokens=False), tokenizer.sep_token_id]\n'
        "begin, end = tokenizer.cls_token_id, tokenizer.sep_token_id\n"
        "(copy,) = model.greedy(torch.tensor([ids]), None, begin, end, longest=40)\n"
        "print(tokenizer.decode(copy))\n"
    )


CODE = {
    CLASSIFIER: _classifier,
    BAG_OF_WORDS: _bag_of_words,
    ENCODER: _encoder,
    LANGUAGE_MODEL: _language_model,
    AUTOENCODER: _autoencoder,
}


def uses_own_code(folder: Path) -> bool:
    """Whether a model folder has files that `transformers` has to run."""
    return any(folder.glob("*.py"))


def config_of(run: RunFolder) -> dict[str, Any]:
    """The resolved config of a run."""
    return yaml.safe_load((run.path / "config.yaml").read_text(encoding="utf-8"))
