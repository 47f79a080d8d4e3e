"""Texts and a time → a whole comparison, without a YAML file written by hand.

In: labelled texts, and perhaps more without labels. Out: `runs/plans/<name>-<digest>/` with the YAML files of every
stage. Read in this order:

- `config.py`: the few keys
- `contents.py`: what columns hold; `headers.py`: what they are called; `advice.py`: what to do if none is found;
  `label_columns.py`: which is the label; `columns.py`: which is the text, and all of them; `separators.py`: whether a
  cell holds several labels
- `text_formats.py`: what text files hold; `other_columns.py`: the columns of test and unlabelled texts; `sources.py`:
  which files, in which format, hold the texts
- `missing_labels.py`: labels that say that there is none; `texts.py`: texts → training, test and unlabelled parts
- `rules.py`: texts and time → settings
- `plan.py`: all of it, with a measurement of the machine between
"""
