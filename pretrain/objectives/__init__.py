"""Pretraining objectives of encoders and language models: one record per objective.

In: the token store and a model with the objective's head. Out: a loss, its metrics, and held-out baselines. To add an
objective, write a file with an `Objective` and add it to `registry.py`. Read in this order:

- `objective.py`: the record, and the types that losses use
- `masked_lm.py`: `mlm`, `mlm_nsp` and `mlm_sop`
- `replaced_token.py`: `rtd`
- `causal_lm.py`: `causal_lm`, by truncated backpropagation through time; `lm_evaluation.py`: its perplexity and samples
- `autoencode.py`: `autoencode`
- `registry.py`: all of them by name

Importing these files does not load torch, so that configs are checked against the names quickly.
"""
