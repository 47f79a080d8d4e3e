"""What to look at before a run; `audits.json`.

In: the token store, and the pairs of an epoch. Out: numbers, and advice in words. Read in this order:

- `config.py`: every key of the search for leaked test texts
- `corpus_audit.py`: the report
- `duplicates.py`: near duplicates, and test texts in the corpus (MinHash and LSH)
- `pair_health.py`: how many labels of pairs lengths or shared words alone give away
"""
