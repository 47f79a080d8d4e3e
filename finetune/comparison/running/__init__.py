"""What a comparison runs, in processes of their own.

- `subprocesses.py`: a stage, as a command
- `devices.py`: on which devices runs go; `cells.py`: the runs of a grid, in parallel
- `estimate.py`: how long a comparison will take, by short runs
"""
