"""Many runs → intervals, a verdict, a report.

In: the folders of finished runs. Out: `result.json`, `report.html` and its figures. Read in this order:

- `config.py`: the config of a comparison
- `grid.py`: models × seeds × label budgets, each cell as a config and as a command
- `subprocesses.py`: a stage in a separate process; `devices.py`: on which devices runs go
- `estimate.py`: how long a comparison will take, by short runs
- `intervals.py`: intervals over seeds and test texts; `worth.py`: what pretraining is worth in labels
- `compared_score.py`: the score that is compared, and its value for each text
- `scores.py`: the records of a comparison; `summary.py`: finished runs → scores, gains, verdicts
- `verdict.py`: the verdict in words
- `report.py`, `report.html.j2`: the figures and the page
"""
