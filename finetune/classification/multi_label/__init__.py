"""Texts that may have several labels, or none: a yes or no for each label.

In: a matrix of texts and labels. Out: parts in proportion, thresholds, scores. Read in this order:

- `stratification.py`: orders and parts of texts in which every label has its share
- `label_scores.py`: F1 and the like, of one class a text, too; what each text adds to them; the best constant answer
- `thresholds.py`: from which probability on a label applies
- `one_versus_rest.py`: a logistic regression for each label
"""
