"""The alternatives, as somebody would write them who has `transformers` and torch but not Bertlet.

Each function trains for a number of steps and gives the real tokens a second after the first few: padding, which these
loops compute like everything else, does not count.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

WARM_UP = 5


class Clock:
    """Real tokens and seconds from the end of the warm-up on."""

    def __init__(self) -> None:
        self.steps = self.tokens = 0
        self.begun = self.ended = 0.0

    def step(self, tokens: int) -> None:
        """Note the end of a step of so many real tokens."""
        self.steps += 1
        self.ended = time.perf_counter()
        if self.steps == WARM_UP:
            self.begun = self.ended
        elif self.steps > WARM_UP:
            self.tokens += tokens

    @property
    def tokens_per_second(self) -> float:
        """Of the steps behind the warm-up."""
        return self.tokens / (self.ended - self.begun)


def padded(pad: dict[str, int]) -> Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]:
    """Puts rows of lists and numbers together, the lists filled up to the longest with what `pad` has for them."""

    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in batch)
        return {
            name: torch.tensor(
                [row[name] + [pad[name]] * (longest - len(row[name])) if name in pad else row[name] for row in batch]
            )
            for name in batch[0]
        }

    return collate


def trainer(model: Any, rows: list[dict[str, Any]], pad: dict[str, int], steps: int, batch_size: int) -> float:
    """`transformers.Trainer` with its defaults, padding each batch to its longest row.

    Args:
        model: gives a loss.
        rows: dictionaries of lists and numbers.
        pad: by the name of a list, what fills it up.
        steps, batch_size: of the run.
    """
    import tempfile

    from transformers import Trainer, TrainerCallback, TrainingArguments

    clock, seen = Clock(), []
    data: Any = rows

    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        seen.append(sum(len(row["input_ids"]) for row in batch))
        return padded(pad)(batch)

    class Watch(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.step(seen[clock.steps])

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
        run = Trainer(model=model, args=arguments, train_dataset=data, data_collator=collate, callbacks=[Watch()])
        run.train()
    return clock.tokens_per_second


class PlainLSTM(nn.Module):
    """Embedding, `nn.LSTM` over the padded batch, the mean over real positions, a linear classifier."""

    def __init__(self, vocabulary: int, width: int, layers: int, bidirectional: bool, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, bidirectional=bidirectional)
        self.classifier = nn.Linear(width * (2 if bidirectional else 1), 2)

    def forward(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Class scores [B, 2]."""
        states_BTH, _ = self.lstm(self.dropout(self.embedding(ids_BT)))
        pooled_BH = (states_BTH * mask_BT.unsqueeze(-1)).sum(1) / mask_BT.sum(1, keepdim=True)
        return self.classifier(self.dropout(pooled_BH))


def padded_loop(model: nn.Module, rows: list[dict[str, Any]], steps: int, batch_size: int, seed: int = 0) -> float:
    """A plain loop: shuffled rows, each batch padded to its longest, AdamW with torch's defaults."""
    from torch.nn.utils.rnn import pad_sequence

    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    clock = Clock()
    for _ in range(steps):
        batch = [rows[place] for place in rng.integers(0, len(rows), batch_size)]
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
