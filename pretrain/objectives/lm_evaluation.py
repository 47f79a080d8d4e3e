"""Extra metrics of language-model evaluations: perplexity, bits per character, and a generated text.

Shapes: S streams, L tokens of a stream.
"""

import logging
import math

from configs.run_folder import json_text, write_atomically
from pretrain.objectives.objective import EvaluationHook, EvaluationSettings

log = logging.getLogger(__name__)

SAMPLES = "samples.jsonl"


def lm_evaluation_hook(settings: EvaluationSettings) -> EvaluationHook:
    """Add `perplexity` and `bits_per_character` to the metrics, and generate a sample if configured."""
    characters = settings.held_out.characters_per_token

    def hook(metrics: dict[str, float]) -> dict[str, float]:
        if settings.sample_tokens and settings.samples_file is not None:
            _write_sample(settings, metrics["lm_loss"])
        return metrics | perplexity(metrics["lm_loss"], characters)

    return hook


def _write_sample(settings: EvaluationSettings, loss: float) -> None:
    from pretrain.models.generation import Sampling, generate_text

    assert settings.samples_file is not None
    sampling = Sampling(temperature=0.8, seed=settings.seed)
    text = generate_text(settings.model, settings.tokenizer, "", settings.sample_tokens, sampling)
    log.info("pretrain: sample at a loss of %.3f nats:\n%s", loss, text)
    file = settings.samples_file
    earlier = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
    # One for each evaluation before this one, and none of those that a run repeats since it was killed.
    sample = json_text({"eval_lm_loss": loss, "text": text}) + "\n"
    write_atomically(file, "".join(earlier[: settings.evaluations()]) + sample)


def perplexity(nats: float, characters: float) -> dict[str, float]:
    """Convert a loss per token to perplexity and, with `characters` characters per token, to bits per character.

    >>> perplexity(math.log(8), 1.5)
    {'perplexity': 8.0, 'bits_per_character': 2.0}
    """
    return {
        "perplexity": round(math.exp(min(nats, 700)), 12),
        "bits_per_character": round(nats / math.log(2) / characters, 12),
    }
