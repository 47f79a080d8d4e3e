"""Files → documents → sentences, whatever the format.

In: a `CorpusConfig`. Out: a stream of clean documents, and a list of the rows that could not be used.
Read in this order:

- `config.py`: every key of a corpus
- `shards.py`: a corpus → parts that can be read in parallel, and the fingerprint of its content
- `formats.py`: parts → rows, one reader a format
- `quarantine.py`: rows that cannot be used
- `documents.py`: rows → clean documents
- `sentences.py`: documents → sentences
- `synthetic_reviews.py`, `synthetic_world.py`: the built-in reviews, which need no network and no data
"""
