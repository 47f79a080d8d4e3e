"""`generate` of transformers writes what `pretrain.sample` writes."""

from typing import Any

import pytest
import torch

from pretrain.models.generation import Sampling, generate_text
from pretrain.models.modeling.configuration_recurrent import RecurrentConfig
from pretrain.models.modeling.modeling_recurrent_lm import RecurrentForCausalLM

SEPARATOR = 3


class Words:
    """A tokenizer whose tokens are numbers."""

    sep_token_id = SEPARATOR

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [int(word) for word in text.split()]

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


def model_of(cell: str, **settings: Any) -> Any:
    torch.manual_seed(4)
    config = RecurrentConfig(
        vocab_size=30, cell=cell, embedding_size=12, hidden_size=16, num_hidden_layers=2, dropout=0.0,
        initializer_range=2.0, **settings,
    )  # fmt: skip
    return RecurrentForCausalLM(config).eval()


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(
    ("options", "sampling"),
    [
        ({"do_sample": False}, Sampling(temperature=0)),
        ({"do_sample": True, "top_k": 0}, Sampling(seed=3)),
        ({"do_sample": True, "top_k": 0, "temperature": 0.6}, Sampling(0.6, seed=1)),
        ({"do_sample": True, "top_k": 5}, Sampling(top_k=5, seed=2)),
        ({"do_sample": True, "top_k": 0, "top_p": 0.7}, Sampling(top_p=0.7, seed=5)),
        ({"do_sample": True, "top_k": 9, "top_p": 0.8, "temperature": 1.5}, Sampling(1.5, 9, 0.8, 6)),
    ],
)
@pytest.mark.parametrize("prompt", ["", "7 8 9"])
def test_generate_writes_what_sample_writes(
    cell: str, options: dict[str, Any], sampling: Sampling, prompt: str
) -> None:
    model, words = model_of(cell), Words()
    ids = torch.tensor([[SEPARATOR, *words.encode(prompt, add_special_tokens=False)]])
    torch.manual_seed(sampling.seed)
    written = model.generate(ids, max_new_tokens=60, **options)[0, 1:].tolist()
    assert len(written) == 60 + len(prompt.split())
    documents = " ".join(map(str, written)).replace(f" {SEPARATOR} ", " | ")
    expected: Any = words
    told = generate_text(model, expected, prompt, 60, sampling)
    assert [int(word) for word in told.split()] == [token for token in written if token != SEPARATOR], documents


def test_a_bidirectional_one_writes_forward() -> None:
    model = model_of("lstm", bidirectional=True, separate_directions=True)
    words: Any = Words()
    ids = torch.tensor([[SEPARATOR, 7]])
    written = model.generate(ids, max_new_tokens=30, do_sample=False)[0, 1:].tolist()
    told = generate_text(model, words, "7", 30, Sampling(temperature=0))
    assert [int(word) for word in told.split()] == [token for token in written if token != SEPARATOR]


def test_prompts_of_one_length_go_together_and_others_are_refused() -> None:
    model = model_of("gru")
    prompts = torch.tensor([[SEPARATOR, 7, 8], [SEPARATOR, 9, 4]])
    together = model.generate(prompts, max_new_tokens=12, do_sample=False)
    for row in range(2):
        alone = model.generate(prompts[row : row + 1], max_new_tokens=12, do_sample=False)
        assert torch.equal(together[row], alone[0])
    # Padding would be read as a word.
    with pytest.raises(ValueError, match="prompts of different lengths"):
        model.generate(prompts, attention_mask=torch.tensor([[0, 1, 1], [1, 1, 1]]), max_new_tokens=2)
    with pytest.raises(ValueError, match="no beam search"):
        model.generate(prompts, max_new_tokens=2, num_beams=2)
