"""A finished run → a model card and a Hub repository.

In: a run folder. Out: a model card, and one commit on the Hub.

- `card.py`, `model_card.md.j2`: the model card and its template
- `hub.py`: a folder → one commit on the Hub
"""
