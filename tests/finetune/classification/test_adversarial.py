"""Texts whose word vectors are moved against the model, in every kind of model that is trained."""

import functools
from pathlib import Path

import pytest
import torch

from configs.errors import InputError
from finetune.classification.objective import adversarial_loss, adversarial_step, classification_loss
from finetune.run import run
from pretrain.data.loader import IGNORED, Batch
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
    plain = classification_loss(model, batch)
    small, large, none = (adversarial_loss(model, batch, size=size) for size in (0.002, 0.02, 0.0))
    assert none.loss.item() == pytest.approx(plain.loss.item())
    assert plain.loss.item() < small.loss.item() < large.loss.item()
    assert small.metrics == plain.metrics
    small.loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
    # Nothing of it is left behind.
    assert classification_loss(model, batch).loss.item() == plain.loss.item()


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


def test_a_process_without_texts_moves_nothing(tmp_path: Path) -> None:
    model = saved("bert", tmp_path)
    batch = batch_of(model.get_input_embeddings().num_embeddings, torch.full((3,), IGNORED))
    output = adversarial_loss(model, batch, size=0.3)
    assert output.loss.item() == 0
    output.loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


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


def test_a_compiled_model_is_refused(chain: Path) -> None:
    with pytest.raises(InputError, match=r"training\.speed\.compile: a compiled model has no adversarial_step"):
        finetune_config(chain, adversarial_step=0.3, training__speed__compile=True)


def test_the_meter_counts_both_passes() -> None:
    totals = {"tokens": 10, "attended": 0, "sequences": 1}
    assert FlopCount(token=2.0, passes=5).training(totals) == 100
    assert FlopCount(token=2.0).training(totals) == 60
