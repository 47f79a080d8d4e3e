"""Encoder → answers: fine-tuning, comparison, report and export.

In: a pretraining run (or any checkpoint, or none) and labelled text. Out: `runs/finetune/<name>-<digest>/`,
and from many of them one table, one verdict, one HTML file. Read in this order:

- `config.py`: every key of a fine-tuning run; `tasks.py`: labelled text → ids
- `run.py`: one model, one seed, one label budget; `bag_of_words.py`: the linear baseline
- `scores.py`: the metrics; `results.py`: what a finished run leaves
- `compare.py`: models × seeds × label budgets; `stages.py`: a stage as a process of its own; `statistics.py`:
  intervals; `report.py`: the pictures and the page
- `export.py`, `hub.py`: a run → a folder that `transformers` loads, here or on the Hub
- `__main__.py`: the command
"""
