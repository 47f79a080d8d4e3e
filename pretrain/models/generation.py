"""Sampling text from a recurrent language model: temperature, top-k and top-p.

Shapes: V vocabulary.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from configs.bounds import require_at_least, require_between
from configs.errors import InputError

if TYPE_CHECKING:
    import torch


LANGUAGE_MODEL, SEQUENCE_TO_SEQUENCE = "RecurrentForCausalLM", "RecurrentForSequenceToSequence"


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is drawn."""

    temperature: float = 1.0
    """Divides the logits: below 1 likely tokens become likelier; 0 always takes the likeliest."""
    top_k: int | None = None
    """Draw from this many of the likeliest tokens; None: from all."""
    top_p: float | None = None
    """Draw from the likeliest tokens that together have this probability (Holtzman et al. 2020); None: from all."""
    seed: int = 0
    """The same seed gives the same text."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require_between(0, 100, temperature=self.temperature)
        require_at_least(1, top_k=1 if self.top_k is None else self.top_k)
        require_between(1e-6, 1, top_p=1 if self.top_p is None else self.top_p)


def probabilities(scores_V: "torch.Tensor", sampling: Sampling) -> "torch.Tensor":
    """The distribution of the next token, [V]: temperature first, then `top_k`, then `top_p` of the rest.

    >>> import torch
    >>> scores = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    >>> [round(float(share), 2) for share in probabilities(scores, Sampling(top_k=3, top_p=0.5))]
    [0.57, 0.43, 0.0, 0.0]
    """
    import torch

    if sampling.temperature == 0:
        return torch.nn.functional.one_hot(scores_V.argmax(), len(scores_V)).to(scores_V.dtype)
    scores_V = scores_V / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < len(scores_V):
        lowest = scores_V.topk(sampling.top_k).values[-1]
        scores_V = scores_V.masked_fill(scores_V < lowest, -torch.inf)
    shares_V = scores_V.softmax(-1)
    if sampling.top_p is None:
        return shares_V
    sorted_V, tokens_V = shares_V.sort(descending=True, stable=True)
    # The token that reaches the bound is included.
    sorted_V = sorted_V.masked_fill(sorted_V.cumsum(-1) - sorted_V >= sampling.top_p, 0.0)
    nucleus_V = torch.zeros_like(shares_V).index_copy(0, tokens_V, sorted_V)
    return nucleus_V / nucleus_V.sum()


def generate_text(model: Any, tokenizer: Any, prompt: str, length: int, sampling: Sampling) -> str:
    """The prompt and its continuation by a language model; each new document starts a paragraph.

    Args:
        model: a `RecurrentForCausalLM`.
        tokenizer: of the model.
        prompt: may be empty, to start a new document.
        length: number of tokens to generate.
        sampling: how to draw them.
    """
    import torch

    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    generator = torch.Generator().manual_seed(sampling.seed)
    ids = tokenizer.encode(prompt, add_special_tokens=False) if prompt else []
    # A document's first token follows the [SEP] of the previous one.
    next_ids, state, text_ids = [tokenizer.sep_token_id, *ids], None, list(ids)
    with torch.inference_mode():
        for _ in range(length):
            output = model(input_ids=torch.tensor([next_ids], device=device), state=state)
            state = output.state
            shares_V = probabilities(output.logits[0, -1].cpu().double(), sampling)
            next_ids = [int(torch.multinomial(shares_V, 1, generator=generator))]
            text_ids += next_ids
    model.train(was_training)
    documents: list[list[int]] = [[]]
    for token in text_ids:
        if token == tokenizer.sep_token_id:
            documents.append([])
        else:
            documents[-1].append(token)
    return "\n\n".join(tokenizer.decode(document) for document in documents).strip()


def load_recurrent(folder: str, class_names: Sequence[str], hint: str) -> tuple[Any, Any]:
    """Load a recurrent model and its tokenizer.

    Args:
        folder: a local folder or a Hub id.
        class_names: the accepted classes of `modeling_recurrent.py` and `modeling_recurrent_lm.py`.
        hint: end of the error message about a model of another class, such as which model to give instead.

    Raises:
        InputError: the model cannot be loaded, or is of another class.
    """
    from transformers import AutoConfig

    from pretrain.models import builders
    from pretrain.models.safe_loading import SAFE, SAFE_WEIGHTS, UNREADABLE, quiet_transformers
    from tokenizer.vocabulary.serialization import load_any

    with quiet_transformers():
        try:
            architectures = AutoConfig.from_pretrained(folder, **SAFE).architectures or []
            class_name = architectures[0] if architectures else "model of an unknown class"
            if class_name not in class_names:
                raise InputError(f"model: {folder!r} is a {class_name}, {hint}")
            model: Any = getattr(builders, class_name).from_pretrained(folder, **SAFE_WEIGHTS)
        except UNREADABLE as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"model: {folder!r} cannot be loaded: {' '.join(str(error).split())}") from None
    return model.eval(), load_any(folder)
