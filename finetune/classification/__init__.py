"""Labelled text → one classifier and its scores.

In: labelled corpora. Out: batches, a loss, predictions and metrics. Read in this order:

- `config.py`: every key of a task; `corpora.py`: which files its parts come from
- `labels.py`: classes, and which texts a run trains and validates on
- `text_dataset.py`: texts → batches, long ones cut to head and tail
- `objective.py`: the loss; `evaluation.py`: class scores over all processes
- `metrics.py`: accuracy, macro-F1, Matthews; `predictions.py`: `result.json` and the answer to every test text
- `bag_of_words.py`: logistic regression on TF-IDF
"""
