"""Text → ids: reading corpora, splitting sentences, training a tokenizer and auditing it.

In: text in almost any file format, a Hub data set id, or the built-in sample.
Out: `runs/tokenizer/<name>-<digest>/model/`, which `AutoTokenizer.from_pretrained` loads.
Read in this order:

- `config.py`: every key of a corpus and of a tokenizer
- `shards.py`: a corpus → parts that can be read side by side; `formats.py`: parts → rows; `corpus.py`: rows → clean
  documents; `quarantine.py`: rows that cannot be used; `sentences.py`: documents → sentences
- `sample_world.py`, `sample.py`: the made-up reviews that need no network and no data
- `algorithms.py`: documents → a vocabulary; `extend.py`: words added to one; `words.py`: which entries begin a word
- `train.py`: a tokenizer run; `audit.py`: what came of it
- `__main__.py`: the command
"""
