"""Labelled text → one classifier and its scores.

In: labelled corpora. Out: batches, a loss, predictions and metrics. Read in this order:

- `config.py`: the config of a task; `corpora.py`: the corpora of its training, validation and test texts
- `labels.py`: classes; `splits.py`: which texts a run trains and validates on;
  `copies/`: so that copies of a text stay together
- `task.py`: the texts of a run; `text_dataset.py`: texts → batches;
  `tokenization_head_tail.py`: long texts cut to head and tail
- `multi_label/`: what texts with several labels need beside that
- `objective.py`: the loss; `evaluation.py`: class scores over all processes
- `metrics.py`: accuracy, macro-F1, Matthews; `calibration.py`: temperature, bias and calibration error;
  `predictions.py`: `result.json` and the prediction for every test text
- `bag_of_words.py`: logistic regression on words and pairs of words; `frozen.py`: on the states of an encoder that is
  not trained
"""
