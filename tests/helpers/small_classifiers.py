"""Untrained classifiers of every family, each in a folder as `transformers` saves it."""

from pathlib import Path
from typing import Any

import torch
import transformers

from pretrain.models.modeling.configuration_pooled import PooledConfig
from pretrain.models.modeling.configuration_recurrent import RecurrentConfig
from pretrain.models.modeling.modeling_pooled import PooledForSequenceClassification
from pretrain.models.modeling.modeling_recurrent import RecurrentForSequenceClassification
from pretrain.models.pretraining_models import takes_token_types
from tests.helpers.architectures import POSITIONS, trained_tokenizer
from tokenizer.corpus.synthetic_reviews import rows

LABELS = {0: "bad", 1: "fair", 2: "good"}
# The longest text, special tokens included.
LONGEST = POSITIONS - 2


def bert_config(tokenizer: Any, **settings: Any) -> Any:
    """A BERT of one layer."""
    return transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
        pad_token_id=tokenizer.pad_token_id,
        **settings,
    )


def modernbert_config(tokenizer: Any, **settings: Any) -> Any:
    """A ModernBERT of one layer that attends to all tokens and one that attends to neighbours."""
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "cls", "sep")}
    local = {"global_attn_every_n_layers": 2, "local_attention": 8}
    return transformers.ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=POSITIONS,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        **ids,
        **local,
        **settings,
    )


def recurrent(tokenizer: Any, **settings: Any) -> Any:
    """A recurrent classifier."""
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "embedding_size": 16,
        "hidden_size": 24,
        "initializer_range": 1.0,
    }
    config = RecurrentConfig(**sizes | settings, pad_token_id=tokenizer.pad_token_id, id2label=LABELS)
    return RecurrentForSequenceClassification(config)


def pooled(encoder: Any, pooling: str) -> Any:
    """A classifier on the pooled states of an encoder."""
    return PooledForSequenceClassification(PooledConfig(encoder=encoder, pooling=pooling, id2label=LABELS))


# With `concat`, a model pools in three ways: cls or last, mean, max.
CLASSIFIERS: dict[str, Any] = {
    "bert": lambda t: transformers.BertForSequenceClassification(bert_config(t, id2label=LABELS)),
    "modernbert-mean": lambda t: transformers.ModernBertForSequenceClassification(
        modernbert_config(t, id2label=LABELS, classifier_pooling="mean")
    ),
    "pooled-bert-concat": lambda t: pooled(bert_config(t), "concat"),
    "pooled-bert-attention": lambda t: pooled(bert_config(t), "attention"),
    "rnn-last": lambda t: recurrent(t, cell="rnn", pooling="last"),
    "bigru-concat": lambda t: recurrent(t, cell="gru", bidirectional=True, pooling="concat"),
    "lstm-attention": lambda t: recurrent(t, pooling="attention"),
    "bilstm-concat": lambda t: recurrent(t, bidirectional=True, num_hidden_layers=2, pooling="concat"),
    # Of two language models, each direction sees only itself.
    "separate-bilstm-last": lambda t: recurrent(
        t, bidirectional=True, separate_directions=True, num_hidden_layers=2, pooling="last"
    ),
}


def texts() -> list[str]:
    """Some reviews of the built-in sample."""
    return [row["text"] for _, (row, _) in zip(range(60), rows("train"), strict=False)]


def saved(name: str, folder: Path) -> Any:
    """Save an untrained classifier and its tokenizer; gives the classifier."""
    tokenizer = trained_tokenizer("wordpiece", texts(), folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLASSIFIERS[name](tokenizer).eval()
        # Untrained, encoders give the same logits for every text.
        for parameter in model.parameters():
            if parameter.dim() > 1 and not name.startswith(("rnn", "big", "lstm", "bil", "sep")):
                torch.nn.init.normal_(parameter, std=0.25)
    model.save_pretrained(folder)
    if not takes_token_types(model):
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(folder)
    return model
