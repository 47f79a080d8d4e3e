"""Short pretraining runs of a comparison → what the whole of it, and more, would bring.

In: a comparison's config. Out: `runs/ladder/<name>-<digest>/` with `result.json`, `report.md` and pictures as SVG. Read
in this order:

- `config.py`: the config of a ladder
- `rungs.py`: shares of the duration and of the documents, each as a comparison of one model
- `curve.py`: a saturating power law through the rungs, and its uncertainty
- `forecast.py`: finished rungs → predictions
- `words.py`: them in sentences; `figure.py`: as pictures; `report.py`: all of it as Markdown
"""
