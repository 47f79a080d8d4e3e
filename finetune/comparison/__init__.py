"""Many runs → intervals, a verdict, a report.

In: the folders of finished runs. Out: `result.json`, `report.html` and its pictures. Read in this order:

- `config.py`: every key of a comparison
- `grid.py`: models × seeds × label budgets, each cell as a config and as a command
- `subprocesses.py`: a stage in a process of its own
- `statistics.py`: intervals over seeds and test texts
- `scores.py`: what is measured; `summary.py`: finished runs → scores, gains, verdicts
- `verdict.py`: the verdict in words
- `report.py`, `report.html.j2`: the pictures and the page
"""
