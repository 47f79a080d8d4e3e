"""Ids → an encoder: masked-LM and next-sentence pretraining, and the engine that trains everything here.

In: a tokenizer and a corpus. Out: `runs/pretrain/<name>-<digest>/`, its `model/` a standard BERT.
Read in this order:

- `config.py`: every key of a pretraining run
- `store.py`: the corpus as flat ids on disk; `pairs.py`: an epoch of sentence pairs as integers
- `randomness.py`, `masking.py`: stateless random numbers, and which tokens they hide
- `batches.py`: pairs + masks → tensors
- `models.py`: the one place that names the models; `modeling_recurrent.py`: RNN and LSTM; `start.py`: a better start
- `objectives.py`: what a step minimises; `optimization.py`: AdamW, schedule, durations
- `engine.py`: the training step; `checkpoints.py`, `journal.py`: what it keeps and what it tells
- `run.py`, `__main__.py`: the command
"""
