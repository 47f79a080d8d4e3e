"""Draws in which copies of a text stay together; without copies, they are those of single texts.

In: the classes or labels of texts, and the number of the group of copies that each is in. Out: which texts are in a
part. Where a class or label has too few different texts for that, its copies are parted, and the log tells it. Read in
this order:

- `validation.py`: the texts that validate
- `folds.py`: the texts of each fold
"""
