"""What a model answers to a few texts, by which two copies of it are compared.

An export calls these here, and runs this file in a process that has no part of this toolkit: it imports torch alone.

Shapes: N texts, C classes, V vocabulary.
"""

from typing import Any

import torch


def classifier_outputs(model: Any, tokenizer: Any, texts: list[Any]) -> dict[str, Any]:
    """The logits of texts, or of pairs of texts, [N, C]."""
    rows = []
    with torch.inference_mode():
        for text in texts:
            parts = [text] if isinstance(text, str) else text
            # `pipeline` puts a model on an accelerator if there is one.
            inputs = tokenizer(*parts, truncation=True, return_tensors="pt").to(model.device)
            rows.append(model(**inputs).logits[0].float().cpu())
    return {"logits": torch.stack(rows)}


def encoder_outputs(model: Any, tokenizer: Any, texts: list[Any]) -> dict[str, Any]:
    """What every head says of the last position of each text: of its tokens, of its segments."""
    found = {}
    with torch.inference_mode():
        for number, text in enumerate(texts):
            parts = [text] if isinstance(text, str) else text
            for name, values in model(**tokenizer(*parts, truncation=True, return_tensors="pt")).items():
                found[f"{name} {number}"] = values[0, -1:].float().clone() if values.ndim == 3 else values[0].float()
    return found


def language_model_outputs(model: Any, tokenizer: Any, texts: list[Any], length: int = 20) -> dict[str, Any]:
    """The logits after each text, [V], and its continuations: the likeliest, and one that is drawn."""
    found = {}
    for number, text in enumerate(texts):
        ids = torch.tensor([[tokenizer.sep_token_id, *tokenizer.encode(text, add_special_tokens=False)]])
        with torch.inference_mode():
            found[f"logits {number}"] = model(input_ids=ids).logits[0, -1].float().clone()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            for name, options in (("greedy", {"do_sample": False}), ("drawn", {"do_sample": True, "top_k": 0})):
                written = model.generate(ids, max_new_tokens=length, **options)
                found[f"{name} {number}"] = written[0, ids.shape[1] :].clone()
    return found


def autoencoder_outputs(model: Any, tokenizer: Any, texts: list[Any], length: int = 20) -> dict[str, Any]:
    """The logits of each text's last token given those before it, [V], and the copy."""
    found = {}
    begin, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    for number, text in enumerate(texts):
        ids = [*tokenizer.encode(text, add_special_tokens=False), end]
        source, target = torch.tensor([ids]), torch.tensor([[begin, *ids[:-1]]])
        with torch.inference_mode():
            found[f"logits {number}"] = model(input_ids=source, decoder_input_ids=target).logits[0, -1].float().clone()
        # An empty tensor cannot be stored; the end is part of every copy.
        found[f"copy {number}"] = torch.tensor([*model.greedy(source, None, begin, end, longest=length)[0], end])
    return found


OUTPUTS: dict[str, Any] = {
    "classifier": classifier_outputs,
    "encoder": encoder_outputs,
    "language model": language_model_outputs,
    "autoencoder": autoencoder_outputs,
}
