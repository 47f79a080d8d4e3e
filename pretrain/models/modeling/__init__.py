"""Models and configurations that are saved with the weights, as files that import nothing of this toolkit.

- `modeling_modernbert.py`: ModernBERT with a head for sentence pairs;
- `configuration_pooled.py`, `modeling_pooled.py`: a classifier on the pooled states of any encoder;
- `configuration_recurrent.py`, `modeling_recurrent.py`: RNN, GRU and LSTM, and classifiers on top of them;
  `modeling_recurrent_lm.py`: recurrent language models and sequence-to-sequence.
"""
