"""Encoder → answers: fine-tuning, comparison, report and export.

In: a pretraining run (or any checkpoint, or none) and labelled text. Out: `runs/finetune/<name>-<digest>/`,
and from many of them one table, one verdict, one HTML file. What a person runs or reads first:

- `config.py`: every key of a fine-tuning run; `run_paths.py`: run folders, and what a run starts from
- `run.py`, `__main__.py`: one model, one seed, one label budget, and the command
- `compare.py`: the command that runs every stage and compares
- `export.py`: the command that copies a model with its card, here or to the Hub

What they are made of, each importing only from those before it:

- `classification/`: labelled text → scores of one model
- `comparison/`: many runs → intervals, verdict, report
- `publishing/`: a run → a folder or a Hub repository
"""
