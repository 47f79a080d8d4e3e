"""Likelihoods of sentences and predictions for masks, by any language model of `transformers`.

Shapes: B sequences, T positions, M masked positions, V vocabulary.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from configs.errors import InputError
from pretrain.models import builders  # noqa: F401, which makes our recurrent models known to transformers
from pretrain.models.architectures import architecture_of, longest_input
from pretrain.models.modeling.configuration_recurrent import RecurrentConfig
from pretrain.models.pretraining_models import MaskedLanguageModel
from pretrain.models.safe_loading import SAFE, SAFE_WEIGHTS, UNREADABLE, quiet_transformers
from tokenizer.vocabulary.serialization import load_any


@dataclasses.dataclass(frozen=True)
class LanguageModel:
    """A loaded language model, masked or causal, in evaluation mode."""

    model: Any
    tokenizer: Any
    causal: bool
    device: torch.device

    @property
    def longest(self) -> int:
        """The maximum input length, in tokens."""
        config = self.model.config
        return longest_input(config) or self.tokenizer.model_max_length


def load(folder: str) -> LanguageModel:
    """A masked or causal language model and its tokenizer, from a local folder or a Hub id.

    Raises:
        InputError: the model cannot be loaded, or has no trained language-model head.
    """
    with quiet_transformers():
        try:
            model_config = AutoConfig.from_pretrained(folder, **SAFE)
            causal = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in model_config.architectures or [])
            model_class: Any = AutoModelForCausalLM if causal else AutoModelForMaskedLM
            model, info = model_class.from_pretrained(folder, output_loading_info=True, **SAFE_WEIGHTS)
        except UNREADABLE as error:
            raise InputError(f"model: {folder!r} cannot be loaded: {' '.join(str(error).split())}") from None
    if info["missing_keys"]:
        hint = (
            " (an ELECTRA discriminator; its generator, in `generator/`, has one)" if _is_electra(model_config) else ""
        )
        raise InputError(f"model: {folder!r} has no trained language-model head{hint}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return LanguageModel(model.eval().to(device), load_any(folder), causal, device)


def _is_electra(model_config: Any) -> bool:
    return model_config.model_type == "electra"


def sentence_scores(language_model: LanguageModel, sentences: Sequence[str], batch_size: int) -> np.ndarray:
    """The log-likelihood of each sentence, in nats; for masked models, the pseudo-log-likelihood.

    Pseudo-log-likelihood (Salazar et al. 2020, "Masked language model scoring", equation 1): the sum over tokens of
    log p(token | all other tokens), masking one token at a time. Log-likelihood: the sum over tokens of
    log p(token | previous tokens), starting from the BOS token if the tokenizer has one, and from [SEP] for the
    language models of this toolkit, which ends the document before.

    Raises:
        InputError: a sentence is longer than the model can read, or the model gives NaN for it.
    """
    ids = _encode(language_model, sentences)
    score = _log_likelihoods if language_model.causal else _pseudo_log_likelihoods
    scores_N = score(language_model, ids, batch_size)
    if np.isnan(scores_N).any():
        raise InputError(f"the model gives NaN for {sentences[int(np.isnan(scores_N).argmax())][:60]!r}")
    return scores_N


def _encode(language_model: LanguageModel, sentences: Sequence[str]) -> list[list[int]]:
    tokenizer = language_model.tokenizer
    ours = language_model.causal and language_model.model.config.model_type == RecurrentConfig.model_type
    ids = [tokenizer(sentence, add_special_tokens=not ours, verbose=False)["input_ids"] for sentence in sentences]
    if ours:
        # Our language models are trained on documents that are separated by [SEP]; they never see [CLS].
        ids = [[tokenizer.sep_token_id, *row] for row in ids]
    elif language_model.causal and tokenizer.bos_token_id is not None:
        ids = [row if row[:1] == [tokenizer.bos_token_id] else [tokenizer.bos_token_id, *row] for row in ids]
    for sentence, row in zip(sentences, ids, strict=True):
        if len(row) > language_model.longest:
            raise InputError(
                f"a sentence of {len(row)} tokens is too long for the model, which reads {language_model.longest}: "
                f"{sentence[:60]!r}"
            )
    return ids


def _pseudo_log_likelihoods(language_model: LanguageModel, ids: list[list[int]], batch_size: int) -> np.ndarray:
    special = set(language_model.tokenizer.all_special_ids) - {language_model.tokenizer.unk_token_id}
    targets = [
        (sentence, position)
        for sentence, row in enumerate(ids)
        for position, token in enumerate(row)
        if token not in special
    ]
    # Sorted by length to reduce padding.
    targets.sort(key=lambda target: (len(ids[target[0]]), target))
    head = MaskedLanguageModel(language_model.model)
    scores = np.zeros(len(ids))
    for first in range(0, len(targets), batch_size):
        batch = targets[first : first + batch_size]
        ids_BT, mask_BT = _pad(language_model, [ids[sentence] for sentence, _ in batch])
        rows_B = torch.arange(len(batch), device=language_model.device)
        columns_B = torch.tensor([position for _, position in batch], device=language_model.device)
        labels_B = ids_BT[rows_B, columns_B]
        ids_BT[rows_B, columns_B] = language_model.tokenizer.mask_token_id
        with torch.inference_mode():
            positions_B = rows_B * ids_BT.shape[1] + columns_B
            scores_BV = head(ids_BT, torch.zeros_like(ids_BT), mask_BT, positions_B).float().log_softmax(-1)
        label_scores_B = scores_BV[rows_B, labels_B].double().cpu().numpy()
        np.add.at(scores, [sentence for sentence, _ in batch], label_scores_B)
    return scores


def _log_likelihoods(language_model: LanguageModel, ids: list[list[int]], batch_size: int) -> np.ndarray:
    order = sorted(range(len(ids)), key=lambda sentence: (len(ids[sentence]), sentence))
    scores = np.zeros(len(ids))
    for first in range(0, len(order), batch_size):
        batch = order[first : first + batch_size]
        ids_BT, mask_BT = _pad(language_model, [ids[sentence] for sentence in batch])
        with torch.inference_mode():
            scores_BTV = language_model.model(input_ids=ids_BT, attention_mask=mask_BT).logits.float().log_softmax(-1)
        label_scores_BT = scores_BTV[:, :-1].gather(2, ids_BT[:, 1:, None]).squeeze(2)
        scores[batch] = (label_scores_BT.double() * mask_BT[:, 1:]).sum(1).cpu().numpy()
    return scores


def _pad(language_model: LanguageModel, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask, [B, T], padded on the right."""
    length = max(map(len, rows))
    ids_BT = torch.full((len(rows), length), language_model.tokenizer.pad_token_id or 0, dtype=torch.long)
    mask_BT = torch.zeros_like(ids_BT)
    for number, row in enumerate(rows):
        ids_BT[number, : len(row)] = torch.tensor(row)
        mask_BT[number, : len(row)] = 1
    return ids_BT.to(language_model.device), mask_BT.to(language_model.device)


def fill(language_model: LanguageModel, text: str, second: str | None, count: int) -> list[list[tuple[str, float]]]:
    """For each mask of a text or pair of texts, the `count` likeliest tokens, at most all, with their probabilities.

    Raises:
        InputError: the model is causal, or the text has no mask.
    """
    tokenizer = language_model.tokenizer
    if language_model.causal:
        raise InputError("a causal language model cannot fill masks; give a masked one")
    texts = [side.replace("[MASK]", tokenizer.mask_token) for side in (text, second) if side is not None]
    inputs = tokenizer(*texts, return_tensors="pt", truncation=True, max_length=language_model.longest)
    positions_M = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten()
    if not len(positions_M):
        raise InputError(f"the text has no {tokenizer.mask_token}: {text[:60]!r}")
    with torch.inference_mode():
        logits_TV = language_model.model(**inputs.to(language_model.device)).logits[0]
    best = logits_TV[positions_M.to(logits_TV.device)].float().softmax(-1).topk(min(count, logits_TV.shape[-1]))
    return [
        list(zip(tokenizer.convert_ids_to_tokens(tokens.tolist()), shares.tolist(), strict=True))
        for shares, tokens in zip(best.values, best.indices, strict=True)
    ]


def relation(folder: str, first: str, second: str) -> tuple[str, float]:
    """The sentence-pair task of a model, and its probability for two texts.

    Args:
        folder: a local folder or a Hub id.
        first, second: the texts.

    Returns:
        `next-sentence` and the probability that `second` follows `first`, or `sentence-order` and the probability that
        `first` comes before `second`.

    Raises:
        InputError: the model cannot be loaded, or has no trained head for sentence pairs.
    """
    with quiet_transformers():
        try:
            model_config = AutoConfig.from_pretrained(folder, **SAFE)
            model_class: Any = architecture_of(model_config).heads.get("pair")
            if model_class is None:
                raise InputError(
                    f"model: {folder!r} is a {model_config.model_type} model, which has no head for sentence pairs"
                )
            model, info = model_class.from_pretrained(folder, output_loading_info=True, **SAFE_WEIGHTS)
        except UNREADABLE as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"model: {folder!r} cannot be loaded: {' '.join(str(error).split())}") from None
    if any("seq_relationship" in name for name in info["missing_keys"]):
        raise InputError(f"model: {folder!r} has no trained next-sentence head")
    inputs = load_any(folder)(
        first, second, return_tensors="pt", truncation=True, max_length=longest_input(model_config)
    )
    with torch.inference_mode():
        shares = model.eval()(**inputs).seq_relationship_logits[0].softmax(-1)
    task = "sentence-order" if getattr(model_config, "pretraining_objective", "") == "mlm_sop" else "next-sentence"
    return task, shares[0].item()
