"""What an encoder or a language model is pretrained with: one record an objective.

In: the token store and a model with the objective's head. Out: a loss, its metrics, and what a model reaches that knows
nothing. To add an objective, write a file with an `Objective` and name it in `registry.py`. Read in this order:

- `objective.py`: the record, and the types that losses use
- `masked_lm.py`: `mlm`, `mlm_nsp` and `mlm_sop`
- `replaced_token.py`: `rtd`
- `causal_lm.py`: `causal_lm`, by truncated backpropagation through time; `lm_evaluation.py`: its perplexity and samples
- `autoencode.py`: `autoencode`
- `registry.py`: all of them by name

Importing these files loads no torch, so that configs can be checked against the names at once.
"""
