"""Ids → an encoder: masked-LM and next-sentence pretraining, and the engine that trains everything here.

In: a tokenizer and a corpus. Out: `runs/pretrain/<name>-<digest>/`, its `model/` a standard BERT.
What a person runs or reads first:

- `config.py`: every key of a pretraining run, composed of the keys of its parts
- `run.py`, `__main__.py`: one run, and the command; `run_paths.py`: run folders, and finding a model by reference
- `prepare.py`: the token store beforehand
- `probe.py`, `minimal_pairs.py`, `sample.py`: asking a model what it has learned
- `curves.py`, `gradient_flow.py`, `attention_map.py`: pictures of training, of gradients, and of attention

What a run is made of, each importing only from those before it:

- `data/`: ids on disk → batches
- `audits/`: what to look at before a run
- `models/`: what is trained
- `objectives/`: what it is trained with
- `training/`: how
"""
