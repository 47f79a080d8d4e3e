"""The models: `transformers` encoders with pretraining heads, and recurrent models.

In: a config, a tokenizer and optionally a checkpoint. Out: a torch module with its initial weights. Read in this order:

- `config.py`: every key of a model
- `architectures.py`: facts about encoder architectures, one record each
- `layers.py`: the layers of an encoder, whatever their names; `fit.py`: whether a model reads what it will be given
- `pretraining_models.py`: an encoder with its pretraining head
- `builders.py`: models by name; `from_checkpoint.py`: continued pretraining; `safe_loading.py`: what loading may run
- `modeling/`: models and configurations that are saved with the weights
- `embedding_init.py`: word embeddings from the corpus's co-occurrences
- `cpu_kernels.py`: attention, dropout and cross-entropy for CPUs; `cpu_modernbert.py`: ModernBERT's layers for CPUs
- `scoring.py`: the likelihood of a sentence; `generation.py`: sampling text
"""
