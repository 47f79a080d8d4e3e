"""Text → token ids: reading corpora, training and auditing tokenizers.

In: text in almost any file format, a Hub data set id, or the built-in synthetic reviews.
Out: `runs/tokenizer/<name>-<digest>/model/`, which `AutoTokenizer.from_pretrained` loads.
Read in this order:

- `config.py`: the config of a tokenizer run
- `run.py`, `__main__.py`: one run, and the command
- `run_paths.py`: run folders, and how tokenizer references are resolved
- `corpus/`: files → documents → sentences
- `vocabulary/`: documents → a tokenizer that `transformers` can load
"""
