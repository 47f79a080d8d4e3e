"""Ids → an encoder: masked-LM and next-sentence pretraining, and the engine that trains everything here.

In: a tokenizer and a corpus. Out: `runs/pretrain/<name>-<digest>/`, its `model/` a standard BERT.
Read in this order:

- `config.py`: every key of a pretraining run; `model_config.py`: what models are made of; `folders.py`: where a run
  lies, and what it starts from
- `encode.py`: a shard of text → ids, a pure function; `ray_data.py`: the same on a cluster; `store.py`: the corpus as
  flat ids on disk
- `pairs.py`: an epoch of sentence pairs as integers; `packing.py`: an epoch of packed sentences
- `randomness.py`, `masking.py`: stateless random numbers, and which tokens they hide
- `sequences.py`: plans + masks → tensors; `streams.py`: text as recurrent models read it; `batches.py`: samples →
  batches, whatever they are
- `heads.py`: what pretraining puts on an encoder; `continued.py`: going on from a checkpoint; `trust.py`: what may
  happen when one is loaded
- `models.py`: the one place that names the models; `start.py`: a better start
- `configuration_recurrent.py`, `modeling_recurrent.py`, `modeling_writing.py`: RNN, GRU and LSTM that read and write
- `speed.py`: which fast paths a run takes; `cpu_kernels.py`: attention and dropout on a CPU; `meter.py`: how fast
- `sharded.py`: a model whose weights lie in parts on several devices
- `objectives.py`: what a step minimises; `optimization.py`: AdamW, schedule, durations
- `setup.py`: how a training process is set up; `engine.py`: the training step; `position.py`, `checkpoints.py`,
  `journal.py`: what it keeps and what it tells
- `soundness.py`, `interruption.py`, `heartbeat.py`: numbers, signals and processes that would spoil a run
- `duplicates.py`, `nsp_health.py`, `audits.py`: what to look at before a run
- `run.py`, `__main__.py`: the command; `prepare.py`: its token store beforehand
- `scoring.py`, `minimal_pairs.py`, `probe.py`: asking a model what it has learned; `telling.py`, `sample.py`: what a
  language model writes; `gradient_flow.py`, `attention_map.py`, `curves.py`:
  what reaches back through a text, where a model looks, and how it learned
"""
