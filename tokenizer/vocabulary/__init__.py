"""Documents → a vocabulary: WordPiece, BPE, Unigram, characters and bytes.

In: a stream of texts. Out: a tokenizer of the `tokenizers` library, saved so that `transformers` can load it.
Read in this order:

- `config.py`: the config of a vocabulary
- `algorithms.py`: texts → a tokenizer, one function per algorithm
- `added_words.py`: adds words of a corpus to an existing tokenizer
- `word_starts.py`: which entries continue a word, for whole-word masking
- `serialization.py`: saving and loading
- `audit.py`: fertility, unknown rate and round-trip rate
"""
