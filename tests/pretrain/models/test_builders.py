"""The models: standard BERTs, and recurrent classifiers that padding cannot touch."""

from typing import Any

import pytest
import torch
from transformers import BertForSequenceClassification

from configs.errors import InputError
from pretrain.models.architectures import bert_config, modernbert_config
from pretrain.models.builders import classifier
from pretrain.models.config import ClassifierConfig, EncoderConfig
from pretrain.models.modeling.modeling_recurrent import RecurrentForSequenceClassification
from pretrain.models.pretraining_models import PairModel
from tests.helpers.pretraining import new_encoder, small_tokenizer
from tokenizer.vocabulary.serialization import load as load_tokenizer

SMALL = EncoderConfig(layers=3, hidden_size=16, heads=2, maximum_positions=32)
CLASSES = ["negative", "positive", "mixed"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(small_tokenizer(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="module")
def checkpoint(tokenizer, tmp_path_factory):
    """A pretrained encoder none of whose weights are as a fresh one's."""
    bert = new_encoder(SMALL, tokenizer, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in bert.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    folder = tmp_path_factory.mktemp("checkpoint")
    bert.save_pretrained(folder)
    return str(folder)


def batch_of(tokenizer, lengths=(12, 5, 9)):
    """Random ids, padded, with their attention mask."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, len(tokenizer), (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)).long()
    return ids * mask, mask


def encoder_weights(model):
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("classifier")}


# ------------------------------------------------------------------------------------------------ BERT


def test_scores_equal_those_of_bert_for_pretraining_at_the_masked_positions(tokenizer):
    bert = new_encoder(SMALL, tokenizer, 0).eval()
    ids, mask = batch_of(tokenizer)
    types = (torch.arange(12) > 3).long().expand_as(ids)
    positions = torch.tensor([1, 4, 12, 15, 30])
    with torch.inference_mode():
        scores_MV, relation_B2 = PairModel(bert)(ids, types, mask, positions)
        whole = bert(input_ids=ids, token_type_ids=types, attention_mask=mask)
    expected = whole.prediction_logits.flatten(0, 1)[positions]
    torch.testing.assert_close(scores_MV, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(relation_B2, whole.seq_relationship_logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "layers", "width", "heads"),
    [("tiny", 2, 128, 2), ("mini", 4, 256, 4), ("small", 4, 512, 8), ("medium", 8, 512, 8), ("base", 12, 768, 12)],
)
def test_named_sizes_are_those_of_the_released_models(tokenizer, size, layers, width, heads):
    config = bert_config(EncoderConfig(size=size), tokenizer)
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (layers, width, heads)
    assert config.intermediate_size == 4 * width
    assert (config.vocab_size, config.pad_token_id) == (len(tokenizer), tokenizer.pad_token_id)


def test_departures_from_a_size_are_taken_and_impossible_heads_refused(tokenizer):
    config = bert_config(EncoderConfig(size="tiny", layers=1, hidden_size=96, dropout=0.2), tokenizer)
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (1, 96, 1)
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.2, 0.2)
    with pytest.raises(InputError, match=r"model\.heads: 5 does not divide model.hidden_size, 96"):
        bert_config(EncoderConfig(hidden_size=96, heads=5), tokenizer)


def test_heads_of_modernbert_have_an_even_width(tokenizer):
    assert modernbert_config(EncoderConfig(hidden_size=96, heads=16), tokenizer).num_attention_heads == 16
    with pytest.raises(
        InputError, match=r"model\.heads: 32 divides model.hidden_size, 96, into heads of the odd width 3"
    ):
        modernbert_config(EncoderConfig(hidden_size=96, heads=32), tokenizer)
    assert bert_config(EncoderConfig(hidden_size=96, heads=32), tokenizer).num_attention_heads == 32


def test_an_initializer_range_of_null_goes_by_the_width(tokenizer):
    config = EncoderConfig(layers=1, hidden_size=64, initializer_range=None)
    assert bert_config(config, tokenizer).initializer_range == 1 / 8
    weight = new_encoder(config, tokenizer, 0).get_parameter("bert.encoder.layer.0.intermediate.dense.weight")
    assert weight.std().item() == pytest.approx(1 / 8, rel=0.05)


def test_initial_weights_are_a_function_of_the_seed_and_leave_the_generator_alone(tokenizer):
    torch.manual_seed(9)
    before = torch.random.get_rng_state()
    first, again, other = (new_encoder(SMALL, tokenizer, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    name = "bert.embeddings.word_embeddings.weight"
    assert not torch.equal(first[name], other[name])


# ------------------------------------------------------------------------------------ classifiers by name


@pytest.mark.parametrize(
    ("name", "cell", "bidirectional"),
    [
        ("rnn", "rnn", False),
        ("gru", "gru", False),
        ("lstm", "lstm", False),
        ("birnn", "rnn", True),
        ("bigru", "gru", True),
        ("bilstm", "lstm", True),
    ],
)
def test_recurrent_classifiers_by_name(tokenizer, name, cell, bidirectional):
    config = ClassifierConfig(name=name, embedding_size=8, hidden_size=6, layers=2, pooling="last", dropout=0.3)
    model = classifier(config, "", tokenizer, CLASSES, 0)
    assert isinstance(model, RecurrentForSequenceClassification)
    described = model.config
    assert (described.cell, described.bidirectional, described.pooling) == (cell, bidirectional, "last")
    assert (described.embedding_size, described.hidden_size, described.num_hidden_layers) == (8, 6, 2)
    assert (described.vocab_size, described.dropout) == (len(tokenizer), 0.3)
    assert described.id2label == dict(enumerate(CLASSES))
    ids, mask = batch_of(tokenizer)
    assert model(input_ids=ids, attention_mask=mask).logits.shape == (3, 3)


def test_bert_starts_from_the_pretrained_encoder_with_its_dropout_set(tokenizer, checkpoint):
    model = classifier(ClassifierConfig(name="bert", dropout=0.25), checkpoint, tokenizer, CLASSES, 0)
    assert isinstance(model, BertForSequenceClassification)
    pretrained = BertForSequenceClassification.from_pretrained(checkpoint, num_labels=3)
    expected = encoder_weights(pretrained)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in encoder_weights(model).items())
    assert model.config.id2label == dict(enumerate(CLASSES))
    assert model.config.label2id == {name: number for number, name in enumerate(CLASSES)}
    rates = {module.p for module in model.bert.encoder.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.25}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_checkpoint_in_half_precision_is_fine_tuned_in_full(tokenizer, checkpoint, dtype, tmp_path):
    BertForSequenceClassification.from_pretrained(checkpoint, dtype=dtype).save_pretrained(tmp_path)
    for name in ("bert", "bert-scratch"):
        model = classifier(ClassifierConfig(name=name, reinitialized_layers=1), str(tmp_path), tokenizer, CLASSES, 0)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def fine_tuned(tokenizer, checkpoint, folder):
    """A classifier saved with its classes."""
    model = classifier(ClassifierConfig(name="bert"), checkpoint, tokenizer, CLASSES, 7)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def test_the_classifier_of_a_checkpoint_is_new_unless_it_is_to_be_kept(tokenizer, checkpoint, tmp_path, caplog):
    old: Any = fine_tuned(tokenizer, checkpoint, tmp_path)
    with caplog.at_level("INFO"):
        new: Any = classifier(ClassifierConfig(name=str(tmp_path)), str(tmp_path), tokenizer, CLASSES, 0)
    assert "the classifier of" in caplog.text
    assert not torch.equal(new.classifier.weight, old.classifier.weight)
    weights = encoder_weights(old)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in encoder_weights(new).items())
    kept: Any = classifier(
        ClassifierConfig(name=str(tmp_path), keep_classifier=True), str(tmp_path), tokenizer, CLASSES, 0
    )
    assert torch.equal(kept.classifier.weight, old.classifier.weight)


def test_a_classifier_is_kept_for_its_own_classes_only(tokenizer, checkpoint, tmp_path):
    fine_tuned(tokenizer, checkpoint, tmp_path)
    config = ClassifierConfig(name=str(tmp_path), keep_classifier=True)
    with pytest.raises(InputError, match="cannot be kept for the classes x, y, z: its classes are"):
        classifier(config, str(tmp_path), tokenizer, ["x", "y", "z"], 0)
    with pytest.raises(InputError, match="it has none"):
        classifier(config, checkpoint, tokenizer, CLASSES, 0)


def test_bert_from_scratch_has_the_same_shape_and_none_of_the_weights(tokenizer, checkpoint):
    bert = classifier(ClassifierConfig(name="bert"), checkpoint, tokenizer, CLASSES, 0)
    scratch = classifier(ClassifierConfig(name="bert-scratch"), checkpoint, tokenizer, CLASSES, 0)
    expected, found = encoder_weights(bert), encoder_weights(scratch)
    assert {name: tensor.shape for name, tensor in expected.items()} == {
        name: tensor.shape for name, tensor in found.items()
    }
    assert not any(torch.equal(tensor, found[name]) for name, tensor in expected.items() if tensor.is_floating_point())


def test_a_checkpoint_by_its_path_is_loaded(tokenizer, checkpoint):
    by_path = classifier(ClassifierConfig(name=checkpoint), checkpoint, tokenizer, CLASSES, 0)
    by_name = classifier(ClassifierConfig(name="bert"), checkpoint, tokenizer, CLASSES, 0)
    found = by_name.state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in by_path.state_dict().items())


@pytest.mark.parametrize("name", ["bert", "bert-scratch", "lstm"])
def test_what_is_fresh_is_a_function_of_the_seed(tokenizer, checkpoint, name):
    heads = [
        classifier(ClassifierConfig(name=name), checkpoint, tokenizer, CLASSES, seed).get_parameter("classifier.weight")
        for seed in (0, 0, 1)
    ]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_fresh_layers_replaces_the_top_layers_and_the_pooler_and_nothing_else(tokenizer, checkpoint, layers):
    whole = classifier(ClassifierConfig(), checkpoint, tokenizer, CLASSES, 0).state_dict()
    found = classifier(ClassifierConfig(reinitialized_layers=layers), checkpoint, tokenizer, CLASSES, 0).state_dict()
    assert whole.keys() == found.keys()
    replaced = tuple(f"bert.encoder.layer.{number}." for number in range(3 - layers, 3))
    expected = {name for name in whole if name.startswith((*replaced, "bert.pooler."))}
    assert {name for name in whole if not torch.equal(whole[name], found[name])} == expected


def test_more_fresh_layers_than_there_are_is_refused(tokenizer, checkpoint):
    with pytest.raises(InputError, match=r"model\.reinitialized_layers: 4 is more than"):
        classifier(ClassifierConfig(reinitialized_layers=4), checkpoint, tokenizer, CLASSES, 0)


def test_an_unknown_checkpoint_is_refused_with_its_name(tokenizer, tmp_path):
    missing = str(tmp_path / "nothing")
    with pytest.raises(InputError, match="nothing' cannot be loaded"):
        classifier(ClassifierConfig(name=missing), missing, tokenizer, CLASSES, 0)
    (tmp_path / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(InputError, match="cannot be loaded"):
        classifier(ClassifierConfig(), str(tmp_path), tokenizer, CLASSES, 0)
