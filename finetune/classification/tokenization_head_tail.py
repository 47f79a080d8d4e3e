"""How long texts are cut: to head and tail; for training, and as a tokenizer that goes with the model.

`transformers` cuts only one end. This file is copied beside the weights of a model whose texts keep both ends, and so
imports nothing of this toolkit.
"""

from typing import Any

import numpy as np
from transformers import BatchEncoding, PreTrainedTokenizerFast
from transformers.tokenization_utils_base import TruncationStrategy

# What the saved `truncation_side` says.
BOTH_ENDS = "both ends"


def share_budget(lengths: list[int], budget: int) -> list[int]:
    """How many tokens each of one or two texts keeps; the longer one is cut first, as by `longest_first` of tokenizers.

    >>> share_budget([300], 126), share_budget([300, 20], 125), share_budget([300, 200], 125), share_budget([5, 6], 125)
    ([126], [105, 20], [63, 62], [5, 6])
    """
    if len(lengths) == 1:
        return [min(lengths[0], budget)]
    shorter, longer = sorted(lengths)
    kept_shorter = min(shorter, max(budget // 2, budget - longer))
    kept_longer = min(longer, budget - kept_shorter)
    return [kept_shorter, kept_longer] if lengths[0] <= lengths[1] else [kept_longer, kept_shorter]


def head_and_tail(ids: Any, length: int, truncation_head_share: float) -> np.ndarray:
    """Truncate a text to `length` tokens from its beginning and its end (Sun et al. 2019, section 5.3.1).

    >>> head_and_tail(np.arange(10), 4, 0.25)
    array([0, 7, 8, 9])
    """
    if len(ids) <= length:
        return ids
    head = round(truncation_head_share * length)
    return np.concatenate([ids[:head], ids[len(ids) - (length - head) :]])


class HeadTailTokenizer(PreTrainedTokenizerFast):
    """A tokenizer that, with `truncation=True`, keeps the beginning and the end of a longer text.

    It has no `__init__`: with one, `from_pretrained` would build another tokenizer from the vocabulary alone.
    """

    @classmethod
    def from_pretrained(cls, *args: Any, **options: Any) -> Any:
        """Load; the side in the file is one that plain tokenizers refuse, so that none cuts other texts unnoticed."""
        options = {"truncation_side": "right"} | options
        return super().from_pretrained(*args, **options)

    def save_pretrained(self, *args: Any, **options: Any) -> Any:
        """Save, with that side."""
        # A setting is saved if it is among the arguments, with the attribute's value.
        self.truncation_side = self.init_kwargs["truncation_side"] = BOTH_ENDS
        try:
            return super().save_pretrained(*args, **options)
        finally:
            self.truncation_side = "right"

    @property
    def truncation_head_share(self) -> float:
        """The share of the kept tokens that come from the beginning."""
        return self.init_kwargs["truncation_head_share"]

    def _encode_plus(self, *texts: Any, **options: Any) -> BatchEncoding:
        strategy = options.get("truncation_strategy", TruncationStrategy.DO_NOT_TRUNCATE)
        if strategy == TruncationStrategy.DO_NOT_TRUNCATE:
            return super()._encode_plus(*texts, **options)
        if options.get("return_overflowing_tokens"):
            raise ValueError("there is no overflow: a longer text loses its middle")
        padding = {name: options.pop(name, None) for name in ("padding_strategy", "pad_to_multiple_of", "padding_side")}
        tensors, length = options.pop("return_tensors", None), options.get("max_length")
        with_special = bool(options.get("return_special_tokens_mask"))
        options |= {"truncation_strategy": TruncationStrategy.DO_NOT_TRUNCATE, "return_special_tokens_mask": True}
        encoded = super()._encode_plus(*texts, **options | {"verbose": False})
        single = not encoded["input_ids"] or not isinstance(encoded["input_ids"][0], list)
        columns = {name: [value] if single else value for name, value in encoded.items()}
        for row, special in enumerate(list(columns["special_tokens_mask"])):
            kept = self._kept(np.array(special, dtype=bool), self.model_max_length if length is None else length)
            for rows in columns.values():
                rows[row] = [rows[row][position] for position in kept]
        if not with_special:
            del columns["special_tokens_mask"]
        return self.pad(
            {name: rows[0] if single and tensors is None else rows for name, rows in columns.items()},
            padding=padding["padding_strategy"] or False,
            max_length=length,
            pad_to_multiple_of=padding["pad_to_multiple_of"],
            padding_side=padding["padding_side"],
            return_tensors=tensors,
        )

    def _kept(self, special_T: np.ndarray, length: int) -> list[int]:
        """The positions to keep: all special tokens, and head and tail of each text between them."""
        positions = np.arange(len(special_T))
        if len(positions) <= length:
            return positions.tolist()
        texts = [run for run in np.split(positions, np.flatnonzero(np.diff(special_T)) + 1) if not special_T[run[0]]]
        budgets = share_budget([len(run) for run in texts], length - int(special_T.sum()))
        kept = [
            head_and_tail(run, budget, self.truncation_head_share) for run, budget in zip(texts, budgets, strict=True)
        ]
        return np.sort(np.concatenate([positions[special_T], *kept])).tolist()


def with_truncation(tokenizer: Any, sequence_length: int, truncation_head_share: float) -> Any:
    """A tokenizer that cuts texts as in training when it is called with `truncation=True`.

    Texts that keep one end only need no code of ours.

    Args:
        tokenizer: of the model; not changed if another class is needed.
        sequence_length: the maximum number of tokens, special tokens included.
        truncation_head_share: see `head_and_tail`.
    """
    # As in training, "[SEP]" in a text is text.
    options = {"model_max_length": sequence_length, "split_special_tokens": True}
    if truncation_head_share not in (0, 1):
        HeadTailTokenizer.register_for_auto_class("AutoTokenizer")
        return HeadTailTokenizer(
            tokenizer_object=tokenizer.backend_tokenizer,
            truncation_head_share=truncation_head_share,
            model_input_names=tokenizer.model_input_names,
            **tokenizer.special_tokens_map,
            **options,
        )
    side = "right" if truncation_head_share == 1 else "left"
    for name, value in {**options, "truncation_side": side}.items():
        setattr(tokenizer, name, value)
        tokenizer.init_kwargs[name] = value
    return tokenizer
