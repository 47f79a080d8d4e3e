"""Token ids → an encoder: masked-LM and next-sentence pretraining, and the training engine of all stages.

In: a tokenizer and a corpus. Out: `runs/pretrain/<name>-<digest>/`, its `model/` a standard BERT.
Commands and entry points:

- `config.py`: every key of a pretraining run, composed of the keys of its parts
- `run.py`, `__main__.py`: one run, and the command; `run_paths.py`: run folders, and how model references are resolved
- `prepare.py`: builds the token store in advance
- `probe.py`, `minimal_pairs.py`, `sample.py`: inspect what a model has learned
- `curves.py`, `gradient_flow.py`, `attention_map.py`: plots of training, gradients and attention

The parts of a run; each imports only from those before it:

- `data/`: ids on disk → batches
- `audits/`: checks of the corpus before a run
- `models/`: encoders, recurrent models and their heads
- `objectives/`: losses, with their data and baselines
- `training/`: the engine, optimizers, schedules and checkpoints
- `hub/`: checkpoints on the Hugging Face Hub
"""
