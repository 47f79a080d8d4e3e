"""ModernBERT with a head for sentence pairs, which transformers lacks.

This file is copied beside the weights of such a model, and so imports nothing of this toolkit.

Shapes: B sequences, T positions, H hidden size, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import ModernBertForMaskedLM
from transformers.utils.generic import ModelOutput


@dataclass
class ModernBertForPreTrainingOutput(ModelOutput):
    """The fields of `BertForPreTrainingOutput`."""

    loss: torch.Tensor | None = None
    prediction_logits: torch.Tensor | None = None
    """[B, T, V]."""
    seq_relationship_logits: torch.Tensor | None = None
    """[B, 2]: class 0, the second segment follows the first (or is in order); class 1, it does not."""


class ModernBertForPreTraining(ModernBertForMaskedLM):
    """`ModernBertForMaskedLM`, and a classifier of the relation of two segments.

    ModernBERT has no segment embeddings, and its classifiers average over tokens instead of reading [CLS]. So does this
    one: it compares the averages of the two segments and their product.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.pooler = nn.Linear(3 * config.hidden_size, config.hidden_size)
        self.seq_relationship = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ModernBertForPreTraining):
            for linear in (module.pooler, module.seq_relationship):
                nn.init.normal_(linear.weight, std=self.config.initializer_range)
                nn.init.zeros_(linear.bias)

    def relation(
        self, hidden_BTH: torch.Tensor, input_ids_BT: torch.Tensor, attention_mask_BT: torch.Tensor
    ) -> torch.Tensor:
        """Logits [B, 2] of the relation of the two segments, of which the first ends with the first [SEP]."""
        separator: Any = self.config.sep_token_id
        is_end_BT = torch.eq(input_ids_BT, separator).long()
        second_BT = (is_end_BT.cumsum(1) - is_end_BT) > 0
        means = []
        for segment_BT in (~second_BT, second_BT):
            weights_BT = (segment_BT & (attention_mask_BT > 0)).to(hidden_BTH.dtype)
            total_BH = torch.einsum("bth,bt->bh", hidden_BTH, weights_BT)
            means.append(total_BH / weights_BT.sum(1, keepdim=True).clamp(min=1))
        pooled_BH = self.pooler(torch.cat([*means, means[0] * means[1]], dim=-1))
        return self.seq_relationship(torch.tanh(pooled_BH))

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        next_sentence_label: torch.Tensor | None = None,
        **options: Any,
    ) -> ModernBertForPreTrainingOutput:
        """Predict every token and the relation of the two segments.

        Args:
            input_ids, attention_mask: [B, T].
            labels: [B, T], the original ids at masked positions and -100 elsewhere.
            next_sentence_label: [B], as in `BertForPreTraining`.
            options: of `ModernBertModel`, such as `position_ids`.
        """
        hidden_BTH = self.model(input_ids=input_ids, attention_mask=attention_mask, **options).last_hidden_state
        if attention_mask is None:
            attention_mask = torch.ones(hidden_BTH.shape[:2], dtype=torch.long, device=hidden_BTH.device)
        logits_BTV = self.decoder(self.head(hidden_BTH))
        if input_ids is None:
            raise ValueError("input_ids tell where the first segment ends; inputs_embeds alone do not")
        relation_B2 = self.relation(hidden_BTH, input_ids, attention_mask)
        losses = []
        if labels is not None:
            losses.append(nn.functional.cross_entropy(logits_BTV.flatten(0, 1), labels.flatten()))
        if next_sentence_label is not None:
            losses.append(nn.functional.cross_entropy(relation_B2, next_sentence_label.flatten()))
        loss = torch.stack(losses).sum() if losses else None
        return ModernBertForPreTrainingOutput(loss, logits_BTV, relation_B2)


ModernBertForPreTraining.register_for_auto_class("AutoModelForPreTraining")
