"""What an evaluation of a language model tells beside its loss: perplexity, bits a character, and a text it wrote."""

import json
import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from accelerate import Accelerator

from configs.run_folder import RunFolder
from pretrain.config import PretrainConfig
from pretrain.sample import Sampling, written
from pretrain.streams import StreamEpoch

log = logging.getLogger(__name__)

Measured = dict[str, float]
SAMPLES = "samples.jsonl"


def of(
    config: PretrainConfig,
    folder: RunFolder,
    accelerator: Accelerator,
    model: Any,
    tokenizer: Any,
    held_out: Any,
) -> Callable[[Measured], Measured]:
    """A function of an evaluation's measures that adds to them, and lets a language model write where it is to.

    Args:
        config: of the run.
        folder: where `samples.jsonl` grows.
        accelerator: tells the main process.
        model: the model of `transformers`, unwrapped.
        tokenizer: its own.
        held_out: what is evaluated on.
    """
    characters = characters_a_token(held_out, tokenizer) if isinstance(held_out, StreamEpoch) else None

    def told(measured: Measured) -> Measured:
        if characters is None:
            return measured
        if config.recurrent.sample and accelerator.is_main_process:
            text = written(model, tokenizer, "", config.recurrent.sample, Sampling(temperature=0.8, seed=config.seed))
            log.info("pretrain: at %.3f nats the model writes:\n%s", measured["lm_loss"], text)
            with (folder.path / SAMPLES).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"eval_lm_loss": measured["lm_loss"], "text": text}) + "\n")
        return measured | perplexity(measured["lm_loss"], characters)

    return told


def perplexity(nats: float, characters: float) -> Measured:
    """A loss a token as perplexity, and as bits a character of `characters` characters a token.

    >>> perplexity(math.log(8), 1.5)
    {'perplexity': 8.0, 'bits_per_character': 2.0}
    """
    return {
        "perplexity": round(math.exp(min(nats, 700)), 12),
        "bits_per_character": round(nats / math.log(2) / characters, 12),
    }


def characters_a_token(held_out: StreamEpoch, tokenizer: Any) -> float:
    """Characters of the normalised held-out text for each token to tell; a document's end counts as one character."""
    streams = held_out.streams_SL[:, 1:]
    texts = tokenizer.batch_decode([row.tolist() for row in streams], skip_special_tokens=True)
    ends = int(np.count_nonzero(streams == tokenizer.sep_token_id))
    return (sum(map(len, texts)) + ends) / streams.size
