"""`tokenizer.json` → ids, with the library `tokenizers` alone: `transformers` would import torch."""

import json
from pathlib import Path
from typing import Any

from configs.errors import InputError
from tokenizer.vocabulary.serialization import OUR_CUTTING_TOKENIZER

TOKENIZER, SETTINGS = "tokenizer.json", "tokenizer_config.json"


class FileTokenizer:
    """What `encoding` needs of a tokenizer of `transformers`, under the same names."""

    def __init__(self, backend: Any, settings: dict[str, Any]) -> None:
        """From a tokenizer of `tokenizers`, and the settings that `transformers` saved beside it."""
        self.backend, self.settings = backend, settings
        # Both may have been saved with the tokenizer; here they are given for each call.
        backend.no_padding()
        backend.no_truncation()
        # "[SEP]" in a text is text, as in training.
        backend.encode_special_tokens = bool(settings.get("split_special_tokens", False))
        self.model_max_length: int = settings["model_max_length"]
        self.pad_token_id, self.cls_token_id, self.sep_token_id = (
            backend.token_to_id(settings[name]) for name in ("pad_token", "cls_token", "sep_token")
        )

    def __call__(
        self,
        texts: list[str],
        second_texts: list[str] | None = None,
        truncation: bool = False,
        add_special_tokens: bool = True,
        verbose: bool = False,
    ) -> dict[str, list[list[int]]]:
        """The ids of texts or pairs, and what else the model takes; `verbose` is for `transformers`."""
        if truncation:
            direction = self.settings.get("truncation_side", "right")
            self.backend.enable_truncation(self.model_max_length, strategy="longest_first", direction=direction)
        else:
            self.backend.no_truncation()
        inputs: Any = texts if second_texts is None else list(zip(texts, second_texts, strict=True))
        # Without the places of tokens in the text, which nobody asks for here.
        encodings = self.backend.encode_batch_fast(inputs, add_special_tokens=add_special_tokens)
        rows = {"input_ids": [one.ids for one in encodings]}
        if "token_type_ids" in self.settings.get("model_input_names", ()):
            rows["token_type_ids"] = [one.type_ids for one in encodings]
        return rows


def load(folder: Path) -> Any:
    """The tokenizer of an exported model; that of `transformers` where texts keep both ends, which needs code.

    Raises:
        InputError: a file is missing or damaged.
    """
    from tokenizers import Tokenizer

    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        if settings.get("tokenizer_class") == OUR_CUTTING_TOKENIZER:
            from finetune.classification.tokenization_head_tail import HeadTailTokenizer
            from pretrain.models.safe_loading import SAFE

            return HeadTailTokenizer.from_pretrained(folder, **SAFE)
        return FileTokenizer(Tokenizer.from_file(str(folder / TOKENIZER)), settings)
    except Exception as error:  # noqa: BLE001
        # Of a damaged file, `tokenizers` raises plain `Exception`.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"tokenizer: {str(folder)!r} cannot be loaded: {reason}") from None
