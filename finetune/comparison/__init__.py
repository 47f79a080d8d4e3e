"""Many runs → intervals, a verdict, a report.

In: the folders of finished runs. Out: `result.json`, `report.html`, `report.md`, tables as CSV and figures as SVG. Read
in this order:

- `config.py`: the config of a comparison
- `grid.py`: models × seeds × label budgets, each cell as a config and as a command
- `tuning.py`: random search over declared ranges, the same for every model
- `intervals.py`: intervals over seeds and test texts; `draws.py`: draws of means, for what depends on several
- `worth.py`: what pretraining is worth in labels
- `compared_score.py`: the score that is compared, and its value for each text
- `scores.py`: the records of a comparison; `summary.py`: finished runs → scores, gains, verdicts
- `verdict.py`: the verdict in words
- `page_command.py`: which of the runs a page shows
- `report.py`: the command's last step, which writes the report

Subpackages, each importing only from those before it, and from the files above but `report.py`:

- `running/`: stages and runs in processes, and how long they will take
- `analysis/`: what runs and their answers tell beyond the scores
- `figures/`: numbers → SVG
- `reporting/`: all of it → HTML, Markdown, CSV
"""
