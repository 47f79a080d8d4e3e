"""The peers: training as one would write it with `transformers` and torch but without Bertlet.

The training functions return real tokens per second after the warm-up; padding is computed but not counted.

Shapes: B texts, T positions, H hidden size.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.measurement.measuring import WARM_STEPS


class Clock:
    """Counts real tokens and seconds after the warm-up."""

    def __init__(self) -> None:
        self.steps = self.tokens = 0
        self.started = self.ended = 0.0

    def step(self, tokens: int) -> None:
        """Record the end of a step with this many real tokens."""
        self.steps += 1
        self.ended = time.perf_counter()
        if self.steps == WARM_STEPS:
            self.started = self.ended
        elif self.steps > WARM_STEPS:
            self.tokens += tokens

    @property
    def tokens_per_second(self) -> float:
        """Throughput after the warm-up."""
        return self.tokens / (self.ended - self.started)


def padding_collator(pad: dict[str, int]) -> Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]:
    """A collator for rows of lists and numbers, which pads each list to the longest with its value in `pad`."""

    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in batch)
        return {
            name: torch.tensor(
                [row[name] + [pad[name]] * (longest - len(row[name])) if name in pad else row[name] for row in batch]
            )
            for name in batch[0]
        }

    return collate


def train_with_trainer(
    model: Any, rows: list[dict[str, Any]], pad: dict[str, int], steps: int, batch_size: int
) -> float:
    """Train with `transformers.Trainer` and its defaults, padding each batch to its longest row.

    Args:
        model: a model that returns a loss.
        rows: dictionaries of lists and numbers.
        pad: the padding value of each list, by name.
        steps: number of steps.
        batch_size: rows per step.
    """
    import tempfile

    from transformers import Trainer, TrainerCallback, TrainingArguments

    clock, batch_tokens = Clock(), []
    data: Any = rows

    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch_tokens.append(sum(len(row["input_ids"]) for row in batch))
        return padding_collator(pad)(batch)

    class StepClock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.step(batch_tokens[clock.steps])

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=batch_size,
            max_steps=steps,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
            torch_compile=torch.cuda.is_available(),
        )
        trainer = Trainer(
            model=model, args=arguments, train_dataset=data, data_collator=collate, callbacks=[StepClock()]
        )
        trainer.train()
    return clock.tokens_per_second


class PlainLSTM(nn.Module):
    """Embedding, `nn.LSTM` over the padded batch, mean over real positions, linear classifier."""

    def __init__(self, vocabulary: int, width: int, layers: int, bidirectional: bool, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, bidirectional=bidirectional)
        self.classifier = nn.Linear(width * (2 if bidirectional else 1), 2)

    def forward(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Logits [B, 2]."""
        states_BTH, _ = self.lstm(self.dropout(self.embedding(ids_BT)))
        pooled_BH = (states_BTH * mask_BT.unsqueeze(-1)).sum(1) / mask_BT.sum(1, keepdim=True)
        return self.classifier(self.dropout(pooled_BH))


def train_in_plain_loop(
    model: nn.Module, rows: list[dict[str, Any]], steps: int, batch_size: int, seed: int = 0
) -> float:
    """Train in a plain loop: random rows, each batch padded to its longest, AdamW with torch's defaults."""
    from torch.nn.utils.rnn import pad_sequence

    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    clock = Clock()
    for _ in range(steps):
        batch = [rows[index] for index in rng.integers(0, len(rows), batch_size)]
        ids_BT = pad_sequence([torch.tensor(row["input_ids"]) for row in batch], batch_first=True)
        mask_BT = (ids_BT != 0).float()
        labels_B = torch.tensor([row["labels"] for row in batch])
        loss = nn.functional.cross_entropy(model(ids_BT, mask_BT), labels_B)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        clock.step(int(mask_BT.sum()))
    return clock.tokens_per_second
