"""The models: `transformers` encoders with pretraining heads, and recurrent models.

In: a config, a tokenizer and optionally a checkpoint. Out: a torch module with its initial weights. Read in this order:

- `config.py`: every key of a model
- `architectures.py`: facts about encoder architectures, one record each
- `pretraining_models.py`: an encoder with its pretraining head
- `builders.py`: models by name; `from_checkpoint.py`: continued pretraining; `safe_loading.py`: what loading may run
- `modeling_modernbert.py`: ModernBERT with a head for sentence pairs; saved with the weights
- `configuration_recurrent.py`, `modeling_recurrent.py`: RNN, GRU and LSTM, and classifiers on top of them;
  `modeling_recurrent_lm.py`: recurrent language models and sequence-to-sequence; these three are saved with the weights
- `embedding_init.py`: word embeddings from the corpus's co-occurrences
- `cpu_kernels.py`: attention and dropout for CPUs
- `scoring.py`: the likelihood of a sentence; `generation.py`: sampling text
"""
