"""A sequence classifier on the pooled states of any encoder of `transformers`.

This file is uploaded with the weights, so it imports only the standard library, torch, transformers and
`configuration_pooled.py`.

Shapes: B sequences, T positions, H hidden size, C classes.
"""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import SequenceClassifierOutput

from .configuration_pooled import PooledConfig


class PooledForSequenceClassification(PreTrainedModel):
    """Encoder → pooling over tokens → dropout → a linear classifier. Padding never changes a logit."""

    config_class = PooledConfig
    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config: PooledConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.encoder = without_pooler(AutoModel.from_config(config.encoder))
        width = config.encoder.hidden_size
        if config.pooling == "attention":
            self.attention_score = nn.Linear(width, 1)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(width * (3 if config.pooling == "concat" else 1), len(config.id2label or {}))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, std=getattr(self.config.encoder, "initializer_range", 0.02))
            if module.bias is not None:
                init.zeros_(module.bias)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **options: Any,
    ) -> SequenceClassifierOutput:
        """Class logits, and the cross-entropy if labels are given.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], 1 on tokens and 0 on padding; None: no padding.
            labels: [B], class ids; [B, C] of 0 and 1 if the configuration's `problem_type` is
                `multi_label_classification`, with the mean cross-entropy of C decisions.
            options: of the encoder, such as `token_type_ids`.

        Returns:
            `logits` [B, C] and, if requested, `loss`.
        """
        states_BTH = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **options).last_hidden_state
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        logits_BC = self.classifier(self.dropout(self.pool(states_BTH, mask_BT > 0)))
        loss = None if labels is None else classification_loss(logits_BC.float(), labels, self.config.problem_type)
        return SequenceClassifierOutput(loss=loss, logits=logits_BC)

    def pool(self, states_BTH: torch.Tensor, is_token_BT: torch.Tensor) -> torch.Tensor:
        """States → one vector a sequence, [B, H], or [B, 3 H] with `concat`."""
        pooling, is_padding_BT1 = self.config.pooling, ~is_token_BT.unsqueeze(-1)
        if pooling == "cls":
            return states_BTH[:, 0]
        if pooling == "attention":
            scores_BT1 = self.attention_score(states_BTH).float().masked_fill(is_padding_BT1, float("-inf"))
            return (scores_BT1.softmax(1).to(states_BTH.dtype) * states_BTH).sum(1)
        mean_BH = states_BTH.masked_fill(is_padding_BT1, 0).sum(1) / is_token_BT.sum(1, keepdim=True).clamp(min=1)
        if pooling == "mean":
            return mean_BH
        maximum_BH = states_BTH.masked_fill(is_padding_BT1, torch.finfo(states_BTH.dtype).min).amax(1)
        return maximum_BH if pooling == "max" else torch.cat([states_BTH[:, 0], mean_BH, maximum_BH], dim=-1)


def classification_loss(logits_BC: torch.Tensor, labels: torch.Tensor, problem_type: str | None) -> torch.Tensor:
    """The cross-entropy of class ids [B], or the mean one of yes-or-no decisions [B, C]."""
    if problem_type == "multi_label_classification":
        return binary_cross_entropy_with_logits(logits_BC, labels.to(logits_BC.dtype))
    return cross_entropy(logits_BC, labels)


def without_pooler(encoder: Any) -> Any:
    """The encoder without the layer that BERT and its relatives have above [CLS]."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    return encoder


PooledForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")
