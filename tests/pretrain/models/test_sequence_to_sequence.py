"""Sequence to sequence with dot-product attention: Luong's steps, greedy and beam search, and what attention is for."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from configs.errors import InputError
from pretrain.attention_map import attention, draw
from pretrain.models.generation import Sampling
from pretrain.models.modeling.configuration_recurrent import RecurrentConfig
from pretrain.models.modeling.modeling_recurrent_lm import RecurrentForSequenceToSequence
from pretrain.run import run
from pretrain.sample import sample
from tests.helpers.pretraining import small_run


def translator(seed=0, **others):
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "vocab_size": 5,
        "embedding_size": 8,
        "hidden_size": 8,
        "dropout": 0.0,
        "initializer_range": 1.0,
    }
    return RecurrentForSequenceToSequence(RecurrentConfig(**(sizes | others))).eval()


@pytest.mark.parametrize(("cell", "bidirectional"), list(itertools.product(("rnn", "gru", "lstm"), (False, True))))
def test_the_decoder_follows_luongs_six_steps(cell, bidirectional):
    model = translator(cell=cell, bidirectional=bidirectional, num_hidden_layers=2)
    read = torch.randint(1, 5, (2, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1] * 6, [1, 1, 1, 1, 0, 0]])
    given = torch.tensor([[1, 2, 3], [1, 4, 4]])
    with torch.inference_mode():
        output = model(read, given, mask)
        for row, length in ((0, 6), (1, 4)):
            encoded = model.encode(read[row : row + 1, :length])
            states, state = encoded.states_BTW[0], encoded.state
            for position in range(3):
                inputs = model.recurrent.embeddings(given[row : row + 1, position : position + 1])
                lasts = []
                for number, layer in enumerate(model.decoder_layers):
                    begun = tuple(state[name][:, number].unsqueeze(0) for name in ("hidden", "cell") if name in state)
                    inputs, last = layer(inputs, None, begun)
                    lasts.append(last)
                state = {
                    name: torch.cat([last[place] for last in lasts]).transpose(0, 1)
                    for place, name in enumerate(("hidden", "cell")[: len(lasts[0])])
                }
                s = inputs[0, 0]
                scores = states @ s
                shares = scores.softmax(0)
                a = shares @ states
                tilde = torch.tanh(model.combined(torch.cat([a, s])))
                logits = model.decoder(tilde)
                torch.testing.assert_close(output.logits[row, position], logits, rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(output.attentions[row, position, :length], shares, rtol=1e-4, atol=1e-5)
    assert not output.attentions[1, :, 4:].any()


BEGIN, END = 1, 2


def score_of(model, read, text, longest):
    """Log-probability a token of a text, its end included where it has room for one."""
    given = torch.tensor([[BEGIN, *text]])
    shares = model(read, given).logits[0].log_softmax(-1)
    targets = [*text, END] if len(text) < longest else text
    return sum(float(shares[place, token]) for place, token in enumerate(targets)) / len(targets)


def test_beams_find_the_likeliest_text_and_one_beam_is_greedy():
    for seed in range(6):
        model = translator(seed)
        read = torch.randint(1, 5, (3, 4), generator=torch.Generator().manual_seed(seed))
        greedy = model.greedy(read, None, BEGIN, END, longest=3)
        assert model.beam_search(read, None, BEGIN, END, longest=3, beams=1) == greedy
        with torch.inference_mode():
            texts = [list(text) for size in range(4) for text in itertools.product((0, 1, 3, 4), repeat=size)]
            for row in range(3):
                one = read[row : row + 1]
                best = max(texts, key=lambda text: score_of(model, one, text, 3))
                # Enough beams to follow up everything.
                assert model.beam_search(one, None, BEGIN, END, longest=3, beams=200) == [best]


def test_padding_changes_nothing_that_is_written():
    model = translator(bidirectional=True)
    read = torch.tensor([[3, 4, 3, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 0, 0]])
    given = torch.tensor([[1, 3, 4]])
    with torch.inference_mode():
        torch.testing.assert_close(model(read, given, mask).logits, model(read[:, :3], given).logits)
    assert model.greedy(read, mask, BEGIN, END, 6) == model.greedy(read[:, :3], None, BEGIN, END, 6)


def reversing(attention, steps=400, length=14, symbols=5, seed=0):
    """The share of held-out sequences that a small model reverses without a fault, after some training."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "vocab_size": symbols + 3,
        "embedding_size": 32,
        "hidden_size": 64,
        "bidirectional": True,
        "dropout": 0.0,
    }
    model = RecurrentForSequenceToSequence(RecurrentConfig(**sizes, attention=attention))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(seed)

    def batch(size):
        read = torch.randint(3, symbols + 3, (size, length), generator=generator)
        written = torch.cat([read.flip(1), torch.full((size, 1), END)], dim=1)
        given = torch.cat([torch.full((size, 1), BEGIN), written[:, :-1]], dim=1)
        return read, given, written

    for _ in range(steps):
        read, given, labels = batch(64)
        model(read, given, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    read, _, labels = batch(200)
    found = model.eval().greedy(read, None, BEGIN, END, longest=length + 1)
    return float(np.mean([text == right[:-1].tolist() for text, right in zip(found, labels, strict=True)]))


def test_attention_learns_to_reverse_sequences_and_a_bottleneck_does_not():
    with_attention = reversing(attention=True)
    assert with_attention >= 0.99
    assert reversing(attention=False) < with_attention - 0.3


# ----------------------------------------------------------------------------------------------- pictures


def autoencoder(folder, **recurrent):
    sizes = {"embedding_size": 16, "hidden_size": 24, "dropout": 0.0} | recurrent
    return run(small_run(folder, objective="autoencode", recurrent=sizes, training={"duration": "20 steps"}))


def test_where_an_autoencoder_looks_is_drawn(tmp_path):
    folder = autoencoder(tmp_path, attention=True)
    weights, rows, columns = attention(str(folder.path), "the old boat")
    assert columns[-1] == rows[-1] == "[SEP]"
    assert np.array(weights).shape == (len(rows), len(columns))
    assert np.array(weights).sum(1) == pytest.approx(np.ones(len(rows)))
    draw(weights, rows, columns, tmp_path / "pictures" / "map.png")
    assert (tmp_path / "pictures" / "map.png").stat().st_size > 3000
    assert isinstance(sample(str(folder.path), "the old boat", 5, Sampling(), beams=2), str)


def test_a_model_without_attention_is_told_so(tmp_path):
    folder = autoencoder(tmp_path)
    with pytest.raises(InputError, match="trained without attention"):
        attention(str(folder.path), "the old boat")
    with pytest.raises(InputError, match="TEXT: is empty"):
        attention(str(folder.path), " ")
    with pytest.raises(InputError, match="reconstructs its input"):
        sample(str(folder.path), "", 5, Sampling())


def test_an_autoencoder_learns_to_write_what_it_read(tmp_path):
    sizes = {"embedding_size": 32, "hidden_size": 48, "dropout": 0.0, "attention": True}
    training = {"duration": "800 steps", "save_every": 800}
    folder = run(small_run(tmp_path, objective="autoencode", recurrent=sizes, training=training, sequence_length=16))
    result = folder.result()
    assert result["eval_lm_loss"] < 0.7 * result["eval_unigram_entropy"]
