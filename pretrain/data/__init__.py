"""Token ids on disk → batches of tensors.

In: documents and a tokenizer. Out: epochs of batches. Each batch depends only on (seed, epoch, sample), not on the
number of workers or processes. Read in this order:

- `config.py`: every key of masking and preparation
- `encode.py`: a shard of text → a file of ids; `ray_backend.py`: the same on a cluster
- `store.py`: the corpus as flat ids, memory-mapped
- `randomness.py`: stateless random numbers
- `pairs.py`: an epoch of sentence pairs, as integers over the store; `packing.py`: an epoch of packed sentences
- `masking.py`: which tokens are masked: the 80/10/10 rule, whole words, spans
- `masked_lm_dataset.py`: pairs or packed sentences + masks → tensors
- `language_model_dataset.py`: streams for language models, passages for autoencoders
- `token_budget.py`: samples → batches for evaluation
- `loader.py`: samples → batches; grouping by length, micro-batches, workers
"""
