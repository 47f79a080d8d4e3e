"""Audits of the corpus before a run; `audits.json`.

In: the token store, and the pairs of an epoch. Out: statistics and advice. Read in this order:

- `config.py`: every key of the leakage audit
- `corpus_audit.py`: the report
- `duplicates.py`: near duplicates, and leaked test texts (MinHash and LSH)
- `pair_health.py`: how well lengths or shared words alone predict the labels of pairs
"""
