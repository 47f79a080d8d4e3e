"""Documents → a vocabulary: WordPiece, BPE, Unigram, characters and bytes.

In: a stream of texts. Out: a tokenizer of the `tokenizers` library, saved as `transformers` loads it.
Read in this order:

- `config.py`: every key of a vocabulary
- `algorithms.py`: texts → a tokenizer, one function an algorithm
- `added_words.py`: a corpus's words added to an existing tokenizer
- `word_starts.py`: which entries continue a word, for whole-word masks
- `serialization.py`: saving and loading
- `audit.py`: fertility, unknown rate, round trip
"""
