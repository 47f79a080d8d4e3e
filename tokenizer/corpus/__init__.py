"""Files → documents → sentences, whatever the format.

In: a `CorpusConfig`. Out: a stream of cleaned documents, and a list of unusable rows.
Read in this order:

- `config.py`: the config of a corpus
- `files.py`: which files are read, and in which format
- `shards.py`: a corpus → shards that can be read in parallel, and a fingerprint of its content
- `text_files.py`: files → lines, in their encoding, decompressed
- `formats.py`: files → rows, one reader per format
- `dialects.py`: delimiter, quoting and header of a CSV or TSV file, which are found in its first lines
- `tables.py`: the reader of CSV and TSV
- `quarantine.py`: unusable rows
- `row_labels.py`: the label of a row, or its labels; `joined_labels.py`: labels that are made of others
- `documents.py`: rows → cleaned documents
- `sentences.py`: documents → sentences
- `synthetic_reviews.py`, `synthetic_world.py`: the built-in synthetic reviews, which need no download
"""
