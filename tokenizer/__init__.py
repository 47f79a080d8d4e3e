"""Text → ids: reading corpora, training a tokenizer and auditing it.

In: text in almost any file format, a Hub data set id, or the built-in synthetic reviews.
Out: `runs/tokenizer/<name>-<digest>/model/`, which `AutoTokenizer.from_pretrained` loads.
Read in this order:

- `config.py`: every key of a tokenizer run
- `run.py`, `__main__.py`: one run, and the command
- `run_paths.py`: run folders, and finding a tokenizer by reference
- `corpus/`: files → documents → sentences
- `vocabulary/`: documents → a vocabulary, as `transformers` loads it
"""
