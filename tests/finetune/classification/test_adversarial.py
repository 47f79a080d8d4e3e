"""Texts whose word vectors are moved against the model, in every kind of model that is trained."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from configs.errors import InputError
from finetune.classification.objective import adversarial_loss, adversarial_step, classification_loss
from finetune.config import FinetuneConfig
from finetune.run import run
from pretrain.data.loader import IGNORED, Batch
from pretrain.training.config import TrainingConfig
from pretrain.training.setup import prepare_for_training
from pretrain.training.throughput import FlopCount
from tests.helpers.finetuning import finetune_config
from tests.helpers.small_classifiers import CLASSIFIERS, saved

LENGTHS = (9, 4, 6)


def batch_of(vocabulary: int, labels: torch.Tensor) -> Batch:
    """Random texts of `LENGTHS`."""
    ids = torch.randint(10, vocabulary, (3, max(LENGTHS)), generator=torch.Generator().manual_seed(0))
    attention = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    counts = {"labels": len(labels)}
    return Batch({"input_ids": ids * attention, "attention_mask": attention}, {"labels": labels}, counts, counts)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_moved_word_vectors_raise_the_loss_and_teach_every_weight(name: str, tmp_path: Path) -> None:
    model = saved(name, tmp_path)
    batch = batch_of(model.get_input_embeddings().num_embeddings, torch.tensor([0, 1, 2]))
    weights = torch.tensor([1.0, 2.0, 0.5])
    plain = classification_loss(model, batch, weights_C=weights)
    none, small, large, huge = (
        adversarial_loss(model, batch, weights_C=weights, size=size) for size in (0.0, 0.002, 0.02, 1.0)
    )
    assert none.loss.item() == pytest.approx(plain.loss.item())
    assert plain.loss.item() < small.loss.item() < large.loss.item()
    small.loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
    assert not any(module._forward_hooks for module in model.modules())
    # Accuracy is of the texts as they are, whatever becomes of them.
    assert huge.metrics == plain.metrics


def test_the_step_of_each_text_has_the_asked_norm_and_hangs_on_no_other_text() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors, gradient = (torch.randn(3, 9, 8, generator=generator) for _ in range(2))
    attention = (torch.arange(9) < torch.tensor(LENGTHS)[:, None]).long()
    step = adversarial_step(vectors, gradient, attention, size=0.3)
    for text, length in enumerate(LENGTHS):
        assert step[text].norm().item() == pytest.approx(0.3 * vectors[text, :length].norm().item(), rel=1e-5)
        assert not step[text, length:].any()
        alone = (part[text : text + 1] for part in (vectors, gradient, attention))
        torch.testing.assert_close(adversarial_step(*alone, size=0.3)[0], step[text])


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e30])
def test_a_sure_text_moves_as_far_as_others(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors, gradient = (torch.randn(1, 9, 8, generator=generator) for _ in range(2))
    every = torch.ones(1, 9)
    moved = adversarial_step(vectors, gradient * scale, every, size=0.3)
    torch.testing.assert_close(moved, adversarial_step(vectors, gradient, every, size=0.3))


def test_text_without_a_gradient_moves_nowhere() -> None:
    vectors = torch.full((2, 9, 8), 1e3)
    assert not adversarial_step(vectors, torch.zeros_like(vectors), torch.ones(2, 9), size=10.0).any()


@pytest.mark.parametrize("name", ["bilstm-concat", "bert"])
def test_a_process_without_texts_moves_nothing(name: str, tmp_path: Path) -> None:
    model = saved(name, tmp_path)
    batch = batch_of(model.get_input_embeddings().num_embeddings, torch.full((3,), IGNORED))
    output = adversarial_loss(model, batch, size=10.0)
    assert output.loss.item() == 0
    output.loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_both_passes_have_the_same_dropout(tmp_path: Path) -> None:
    model = saved("bert", tmp_path)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    model.train()
    batch = batch_of(model.get_input_embeddings().num_embeddings, torch.tensor([0, 1, 2]))
    losses = []
    for loss in (classification_loss, functools.partial(adversarial_loss, size=0.0)):
        torch.manual_seed(0)
        losses.append(loss(model, batch).loss.item())
        # As many numbers are drawn as without.
        losses.append(torch.rand(()).item())
    assert losses[:2] == pytest.approx(losses[2:])


def test_of_a_model_with_a_decoder_the_words_that_it_reads_move() -> None:
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_position_embeddings": 20}
    config = transformers.AutoConfig.for_model("bart", vocab_size=40, num_labels=3, **sizes, **heads)
    torch.manual_seed(0)
    model: Any = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    batch = batch_of(40, torch.tensor([0, 1, 2]))
    batch.inputs["input_ids"][:, 3] = model.config.eos_token_id
    read = []
    hook = model.model.decoder.layernorm_embedding.register_forward_pre_hook(lambda *call: read.append(call[1][0]))
    plain, none, moved = (
        classification_loss(model, batch),
        *(adversarial_loss(model, batch, size=size) for size in (0.0, 0.02)),
    )
    hook.remove()
    assert none.loss.item() == pytest.approx(plain.loss.item())
    assert moved.loss.item() > plain.loss.item()
    # Those of the decoder are as before.
    assert len(read) == 5
    for vectors in read[1:]:
        torch.testing.assert_close(vectors, read[0], rtol=0, atol=0)


def test_a_model_that_reads_more_padding_than_it_is_given() -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.AutoConfig.for_model("longformer", vocab_size=40, num_labels=3, attention_window=4, **sizes)
    torch.manual_seed(0)
    model: Any = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    batch = batch_of(40, torch.tensor([0, 1, 2]))
    # No multiple of the window.
    assert batch["attention_mask"].shape[1] % 4
    plain, moved = (adversarial_loss(model, batch, size=size).loss.item() for size in (0.0, 0.02))
    assert plain == pytest.approx(classification_loss(model, batch).loss.item())
    assert moved > plain


def test_a_model_that_looks_words_up_otherwise_is_refused() -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.AutoConfig.for_model("canine", local_transformer_stride=4, num_labels=3, **sizes)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    with pytest.raises(InputError, match="adversarial_step: the word vectors of this model"):
        adversarial_loss(model, batch_of(40, torch.tensor([0, 1, 2])), size=0.02)


def test_texts_of_several_labels_are_moved_too(tmp_path: Path) -> None:
    model = saved("modernbert-mean", tmp_path)
    batch = batch_of(model.get_input_embeddings().num_embeddings, torch.tensor([[0.0, 1, 1], [1, 0, 0], [0, 0, 0]]))
    loss = functools.partial(adversarial_loss, model, batch, weights_C=torch.tensor([1.0, 2.0, 0.5]))
    assert loss(size=0.1).loss.item() > loss(size=0.0).loss.item()


@pytest.mark.parametrize("name", ["lstm", "bert"])
def test_a_run_learns_from_moved_texts(chain: Path, name: str) -> None:
    plain, moved = (
        run(finetune_config(chain, model__name=name, adversarial_step=size)).result() for size in (0.0, 0.02)
    )
    assert moved["test_accuracy"] >= 0.9
    assert moved["eval_loss"] != plain["eval_loss"]


@pytest.mark.parametrize("refit", [False, True])
def test_with_few_texts_none_is_moved(chain: Path, refit: bool) -> None:
    settings = {"model__name": "lstm", "validation": None, "label_budget": 60, "training__duration": "20 steps"}
    plain, few, enough = (
        run(finetune_config(chain, refit=refit, **settings, **moving)).result()
        for moving in (
            {},
            {"adversarial_step": 0.1, "adversarial_least_texts": 49},
            {"adversarial_step": 0.1, "adversarial_least_texts": 48},
        )
    )
    # The run of all labels does as that of the 48 that train where others choose.
    assert plain["train_texts"] == (60 if refit else 48)
    assert few["test_brier"] == plain["test_brier"]
    assert enough["test_brier"] != plain["test_brier"]


def test_a_compiled_model_is_refused(chain: Path) -> None:
    with pytest.raises(InputError, match=r"training\.speed\.compile: a compiled model has no adversarial_step"):
        finetune_config(chain, adversarial_step=0.3, training__speed__compile=True)
    with pytest.raises(InputError, match="adversarial_step"):
        finetune_config(chain, adversarial_step=10.5)


def test_where_compilation_is_chosen_by_itself_there_is_none(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []

    def noted(accelerator: Any, model: Any, training: TrainingConfig, *others: Any) -> Any:
        chosen.append(training.speed.compile)
        return prepare_for_training(accelerator, model, training, *others)

    monkeypatch.setattr("finetune.run.prepare_for_training", noted)
    for size in (0.0, 0.02):
        run(finetune_config(chain, model__name="lstm", adversarial_step=size, training__duration="2 steps"))
    assert chosen == [finetune_config(chain).training.speed.compile, False]


def test_a_moved_step_takes_five_passes_where_another_takes_three(tmp_path: Path) -> None:
    model = saved("bert", tmp_path).train()
    batch = batch_of(model.get_input_embeddings().num_embeddings, torch.tensor([0, 1, 2]))
    counts = []
    for loss in (classification_loss, functools.partial(adversarial_loss, size=0.02)):
        with FlopCounterMode(display=False) as counter:
            loss(model, batch).loss.backward()
        counts.append(counter.get_total_flops())
    config = FinetuneConfig(adversarial_step=0.02, adversarial_least_texts=10)
    assert [config.step_arithmetic(9), FinetuneConfig().step_arithmetic(10)] == [1, 1]
    # The way back through attention computes its scores anew, which the counter counts.
    assert counts[1] / counts[0] == pytest.approx(config.step_arithmetic(10), rel=0.02)


def test_the_meter_counts_every_pass(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    training = FlopCount.training

    def noted(self: FlopCount, totals: Mapping[str, int]) -> float:
        seen.append(self.passes)
        return training(self, totals)

    monkeypatch.setattr(FlopCount, "training", noted)
    for size in (0.0, 0.02):
        run(finetune_config(chain, model__name="lstm", adversarial_step=size, training__duration="12 steps"))
    assert [*dict.fromkeys(seen)] == [3, 5]
