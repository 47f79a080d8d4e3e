"""Models by name: pretraining models, recurrent language models, classifiers."""

import logging
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

from configs.errors import InputError
from pretrain.models.architectures import encoder_config, fresh_config, generator_config, set_dropout
from pretrain.models.config import (
    RECURRENT,
    ClassifierConfig,
    EncoderConfig,
    RecurrentLMConfig,
    is_from_scratch,
    is_frozen,
)
from pretrain.models.from_checkpoint import continued_model
from pretrain.models.layers import layer_numbers
from pretrain.models.modeling.configuration_pooled import PooledConfig
from pretrain.models.modeling.configuration_recurrent import RecurrentConfig
from pretrain.models.modeling.modeling_pooled import PooledForSequenceClassification, without_pooler
from pretrain.models.modeling.modeling_recurrent import RecurrentForSequenceClassification, RecurrentModel
from pretrain.models.modeling.modeling_recurrent_lm import RecurrentForCausalLM, RecurrentForSequenceToSequence
from pretrain.models.pretraining_models import HEAD_MODELS
from pretrain.models.safe_loading import SAFE_WEIGHTS, UNREADABLE, load_arguments, quiet_transformers

log = logging.getLogger(__name__)

AutoConfig.register(RecurrentConfig.model_type, RecurrentConfig)
AutoConfig.register(PooledConfig.model_type, PooledConfig)
AutoModel.register(RecurrentConfig, RecurrentModel)
AutoModelForSequenceClassification.register(PooledConfig, PooledForSequenceClassification)
AutoModelForSequenceClassification.register(RecurrentConfig, RecurrentForSequenceClassification)
AutoModelForCausalLM.register(RecurrentConfig, RecurrentForCausalLM)
AutoModelForSeq2SeqLM.register(RecurrentConfig, RecurrentForSequenceToSequence)


def pretraining_model(head: str, config: EncoderConfig, tokenizer: Any, checkpoint: str | None, seed: int) -> Any:
    """An encoder with its pretraining head, new or from a checkpoint; new weights are drawn from `seed`.

    Args:
        head: a key of `HEAD_MODELS`.
        config: the sizes of a new encoder, and dropout.
        tokenizer: of the training data; entries that the checkpoint lacks get new embedding rows.
        checkpoint: folder or Hub id to continue, or None.
        seed: of new weights.

    Raises:
        InputError: the checkpoint cannot be loaded, or its architecture lacks the head.
    """
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        if checkpoint is not None:
            return continued_model(head, config, tokenizer, checkpoint)
        architecture, model_config = fresh_config(head, config, tokenizer)
        models = [architecture.heads[head](model_config)]
        if head == "replaced_token":
            models.append(architecture.heads["generator"](generator_config(model_config, config.generator_share)))
        return HEAD_MODELS[head](*models)


def recurrent_lm(head: str, config: RecurrentLMConfig, tokenizer: Any, seed: int) -> transformers.PreTrainedModel:
    """A new recurrent language model (`causal_lm`) or sequence autoencoder, its weights drawn from `seed`."""
    model_config = RecurrentConfig(
        **_recurrent_sizes(config, tokenizer),
        cell=config.cell,
        bidirectional=config.bidirectional,
        # Two language models must not see each other's states, which hold the tokens to predict.
        separate_directions=config.bidirectional and head == "causal_lm",
        dropout=config.dropout,
        embedding_dropout=config.embedding_dropout,
        weight_dropout=config.weight_dropout,
        attention=config.attention,
    )
    model_class = RecurrentForCausalLM if head == "causal_lm" else RecurrentForSequenceToSequence
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(model_config)


def classifier(
    config: ClassifierConfig,
    checkpoint: str,
    tokenizer: Any,
    names: list[str],
    seed: int,
    problem_type: str | None = None,
) -> transformers.PreTrainedModel:
    """A sequence classifier by name; new weights are drawn from `seed`.

    Args:
        config: the name, and the sizes of recurrent models.
        checkpoint: folder or Hub id to start from; ignored by the names in `RECURRENT`.
        tokenizer: source of the vocabulary size and the padding id.
        names: of the classes, in the order of their ids.
        seed: of new weights.
        problem_type: as `transformers` calls it: `multi_label_classification` where a text may have several labels;
            None: one class a text.

    Raises:
        InputError: the checkpoint cannot be loaded.
    """
    label_ids = {name: label_id for label_id, name in enumerate(names)}
    labels: dict[str, Any] = {"num_labels": len(names), "id2label": dict(enumerate(names)), "label2id": label_ids}
    if problem_type is not None:
        labels["problem_type"] = problem_type
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        if config.name in RECURRENT:
            return RecurrentForSequenceClassification(recurrent_config(config, tokenizer, labels))
        try:
            model_config = classifier_config(config, checkpoint, labels)
            if is_from_scratch(config.name):
                return AutoModelForSequenceClassification.from_config(model_config)
            model = load_classifier(config, checkpoint, model_config)
            if is_classifier(model_config) and not config.keep_classifier:
                renew_classifier(model, AutoModelForSequenceClassification.from_config(model_config))
                log.info("model: the classifier of %s is replaced by a new one (`keep_classifier`)", checkpoint)
            if config.reinitialized_layers and not isinstance(model_config, RecurrentConfig):
                reinitialize(
                    model, AutoModelForSequenceClassification.from_config(model_config), config.reinitialized_layers
                )
            return model
        except UNREADABLE as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"model: {checkpoint!r} cannot be loaded: {' '.join(str(error).split())}") from None


def classifier_config(config: ClassifierConfig, checkpoint: str, labels: dict[str, Any]) -> Any:
    """The `transformers` configuration of a classifier that starts from a checkpoint.

    Args:
        config: dropout and pooling.
        checkpoint: folder or Hub id.
        labels: `num_labels`, `id2label` and `label2id`.

    Raises:
        InputError: the checkpoint's classifier is to be kept and has other classes or another pooling, or the model has
            no such pooling.
    """
    model_config = AutoConfig.from_pretrained(checkpoint, **load_arguments(checkpoint, config.trust_remote_code))
    if config.keep_classifier:
        check_kept_classifier(model_config, labels, checkpoint)
    if "problem_type" not in labels:
        # Of a classifier of several labels, `pipeline` would go on to read them so.
        model_config.problem_type = None
    if hasattr(model_config, "thresholds"):
        del model_config.thresholds
    model_config.update(labels)
    # New models are made in the configuration's type, which may be half precision.
    model_config.dtype = encoder_config(model_config).dtype = torch.float32
    set_dropout(model_config, config.dropout)
    if isinstance(model_config, RecurrentConfig):
        model_config.update(_recurrent_options(config))
        return model_config
    check_pooling(config, "last", "cls")
    frozen, is_pooled = is_frozen(config.name), isinstance(model_config, PooledConfig)
    if frozen and config.pooling == "attention":
        raise InputError("model.pooling: attention is learned, and a frozen encoder learns nothing; use mean or max")
    # ModernBERT's own classifier has a layer of its own between pooling and classes, which would have to be learned.
    own = "pooling" if is_pooled else "classifier_pooling"
    pooling = config.pooling or "mean"
    if not frozen and config.pooling in (None, getattr(model_config, own, None)):
        return model_config
    if config.keep_classifier:
        raise InputError(
            f"model.keep_classifier: the classifier of {checkpoint!r} has another pooling than model.pooling"
        )
    if is_pooled or (not frozen and pooling in ("cls", "mean") and hasattr(model_config, own)):
        setattr(model_config, own, pooling)
        return model_config
    return PooledConfig(
        encoder=model_config,
        pooling=pooling,
        classifier_dropout=config.dropout,
        architectures=model_config.architectures,
        dtype=torch.float32,
        **labels,
    )


def check_pooling(config: ClassifierConfig, other: str, own: str) -> None:
    """Refuse the pooling of another family of models.

    Raises:
        InputError: `model.pooling` is `other`.
    """
    if config.pooling == other:
        raise InputError(
            f"model.pooling: {config.name!r} has no pooling {other!r}; use {own}, mean, max, concat or attention"
        )


def load_classifier(config: ClassifierConfig, checkpoint: str, model_config: Any) -> Any:
    """The classifier of a configuration, with a checkpoint's weights where they have the same names and shapes."""
    options: dict[str, Any] = SAFE_WEIGHTS | load_arguments(checkpoint, config.trust_remote_code)
    if isinstance(model_config, PooledConfig) and not is_pooled_classifier(model_config):
        model = PooledForSequenceClassification(model_config)
        encoder = AutoModel.from_pretrained(checkpoint, config=model_config.encoder, **options)
        model.encoder = without_pooler(encoder)
        return model
    return AutoModelForSequenceClassification.from_pretrained(
        checkpoint, config=model_config, ignore_mismatched_sizes=True, **options
    )


def is_pooled_classifier(model_config: Any) -> bool:
    """Whether a checkpoint's configuration is that of a classifier on pooled states."""
    return PooledForSequenceClassification.__name__ in (model_config.architectures or [])


def is_classifier(model_config: Any) -> bool:
    """Whether a checkpoint's configuration is that of a sequence classifier."""
    return any(name.endswith("ForSequenceClassification") for name in model_config.architectures or [])


def check_kept_classifier(model_config: Any, labels: dict[str, Any], checkpoint: str) -> None:
    """Check that a checkpoint has a classifier of the same classes in the same order, of as many a text.

    Args:
        model_config: of the checkpoint.
        labels: `id2label` and, where a text may have several labels, `problem_type`.
        checkpoint: folder or Hub id.

    Raises:
        InputError: it has none, or its classes differ.
    """
    names = list(labels["id2label"].values())
    multi_label = [
        kind == "multi_label_classification" for kind in (model_config.problem_type, labels.get("problem_type"))
    ]
    old_names = [str(model_config.id2label[number]) for number in sorted(model_config.id2label)]
    if not is_classifier(model_config) or old_names != names:
        reason = f"its classes are {', '.join(old_names)}" if is_classifier(model_config) else "it has none"
        raise InputError(
            f"model.keep_classifier: the classifier of {checkpoint!r} cannot be kept for the classes "
            f"{', '.join(names)}: {reason}"
        )
    if multi_label[0] != multi_label[1]:
        raise InputError(
            f"model.keep_classifier: the classifier of {checkpoint!r} is one of "
            f"{'several labels' if multi_label[0] else 'one class'} a text, and these texts are not"
        )


def renew_classifier(model: Any, fresh: Any) -> None:
    """Replace everything of a sequence classifier above its encoder by that of `fresh`, in place."""
    for name, module in fresh.named_children():
        if name != model.base_model_prefix:
            setattr(model, name, module)


def reinitialize(model: Any, fresh: Any, layers: int) -> None:
    """Replace the top `layers` and the pooler of `model` with those of `fresh`, in place.

    Raises:
        InputError: the model has no encoder layers, or fewer than `layers`.
    """
    numbers = layer_numbers(model)
    count = max(numbers.values(), default=-1) + 1
    if layers > count:
        raise InputError(
            f"model.reinitialized_layers: {layers} is more than the {count} layer(s) of this checkpoint that have "
            "weights of their own"
        )
    for name, number in numbers.items():
        if number >= count - layers:
            model.set_submodule(name, fresh.get_submodule(name))
    # ELECTRA has no pooler, and its classification head is new anyway.
    if getattr(model.base_model, "pooler", None) is not None:
        model.base_model.pooler = fresh.base_model.pooler


def recurrent_config(config: ClassifierConfig, tokenizer: Any, labels: dict[str, Any]) -> RecurrentConfig:
    """The `transformers` configuration of a recurrent model."""
    variant = RECURRENT[config.name]
    return RecurrentConfig(
        **_recurrent_sizes(config, tokenizer),
        cell=variant.cell,
        bidirectional=variant.bidirectional,
        **_recurrent_options(config),
        **labels,
    )


def _recurrent_sizes(config: ClassifierConfig | RecurrentLMConfig, tokenizer: Any) -> dict[str, Any]:
    """The `RecurrentConfig` arguments that every new recurrent model shares."""
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "embedding_size": config.embedding_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.layers,
    }


def _recurrent_options(config: ClassifierConfig) -> dict[str, Any]:
    """The `RecurrentConfig` arguments of a classifier, which also replace those of a checkpoint."""
    check_pooling(config, "cls", "last")
    variant = RECURRENT.get(config.name)
    return {
        "pooling": (variant.pooling if variant else None) or config.pooling or "mean",
        "dropout": config.dropout,
        "embedding_dropout": config.embedding_dropout,
        "weight_dropout": config.weight_dropout,
    }
